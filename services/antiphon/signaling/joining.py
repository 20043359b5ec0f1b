"""Joining a room: its first member settles edge, worker and agent, and those who come later go where it is.

Where its edge drains or is lost, the first member that leaves it takes the room along, and the others follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.errors import NoEdgeError, RoomConflictError, UnavailableError
from antiphon.ids import room_name
from antiphon.placement import Ranking

if TYPE_CHECKING:
    from antiphon.cluster import Membership, RoomRecord
    from antiphon.signaling.moving import Moving


def agent_of(room: RoomRecord, asked: str) -> str:
    """The room's agent, also for those who ask for none. Raises RoomConflictError for those who ask for another."""
    if asked and asked != room.agent:
        has = f"the agent {room.agent!r}" if room.agent else "no agent"
        raise RoomConflictError(
            f"room {room_name(room.name)} has {has}, as its first member asked: join it without naming an agent, "
            f"or take another room for {asked!r}"
        )
    return room.agent


def only(ranking: Ranking, member: str) -> Ranking:
    """What a ranking says of one candidate: where the room is."""
    return Ranking(tuple(choice for choice in ranking.choices if choice.id == member))


def leads(room: RoomRecord, moving: Moving | None, membership: Membership) -> bool:
    """Whether a member that moves takes its room along: it is where the room is, and that edge drains or is lost."""
    if moving is None or moving.record.edge != room.edge:
        return False
    edge = membership.edge(room.edge)
    return room.edge in moving.lost or (edge is not None and edge.draining)


def but(ranking: Ranking, member: str) -> Ranking:
    """A ranking without one candidate: where the room was."""
    return Ranking(tuple(choice for choice in ranking.choices if choice.id != member))


def full_room(room: RoomRecord, reason: Exception) -> Exception:
    """A room's edge (or worker) has no room: no other will do."""
    if not isinstance(reason, UnavailableError):
        return reason
    return NoEdgeError(
        f"room {room_name(room.name)} is on edge {room.edge}, which cannot take another session: {reason}"
    )
