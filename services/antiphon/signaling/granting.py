"""Holds what is asked for to what a session token grants."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from antiphon.access import ANY
from antiphon.errors import ForbiddenError
from antiphon.signaling.models import DEFAULT_AGENT
from antiphon.signaling.sdp import hearing_nothing, saying_nothing

if TYPE_CHECKING:
    from antiphon.access import Grants
    from antiphon.config_recording import RecordingConfig
    from antiphon.signaling.survey import Wish


def granted(wish: Wish, grants: Grants | None) -> Wish:
    """The wish, with what is left open in it filled in. Raises ForbiddenError where it is for more than is granted."""
    if grants is None:
        return replace(wish, agent=wish.agent or ("" if wish.room else DEFAULT_AGENT))
    if wish.recording and wish.moving is None and not grants.recording:
        raise ForbiddenError("the token does not let its bearer have sessions recorded: it needs the grant recording")
    room = wish.room or _named(grants.room)
    if room and not grants.allows_room(room):
        raise ForbiddenError(f"the token does not let its bearer join the room {room}{_instead(grants.room)}")
    agent = wish.agent or _named(grants.agent) or ("" if room else DEFAULT_AGENT)
    if agent and not may_call(grants, agent):
        raise ForbiddenError(f"the token does not let its bearer call the agent {agent}{_instead(grants.agent)}")
    offer = wish.offer if grants.subscribe else hearing_nothing(wish.offer)
    return replace(
        wish,
        room=room,
        agent=agent,
        region=grants.region or wish.region,
        metadata={**wish.metadata, **grants.metadata},
        offer=offer if grants.publish else saying_nothing(offer),
    )


def may_call(grants: Grants | None, agent: str) -> bool:
    """Whether an agent may be asked for. A token that names none is for the default one."""
    return grants is None or grants.allows_agent(agent) or (grants.agent is None and agent == DEFAULT_AGENT)


def may_record(config: RecordingConfig, wish: Wish) -> None:
    """Raises ForbiddenError where a recording is wished for, and the operator does not let the project have any."""
    if wish.recording and not config.enabled:
        raise ForbiddenError("sessions are not recorded here: recording.enabled is not set")
    if wish.recording and not config.allows(wish.project):
        raise ForbiddenError(f"sessions of the project {wish.project} are not recorded: recording.projects lacks it")


def _named(name: str | None) -> str:
    return "" if name in {None, ANY} else name or ""


def _instead(name: str | None) -> str:
    return f": it grants {name}" if name else ""
