"""A room with an agent as a test writes it: members come, speak, hear and go, in one virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from antiphon.testing.call import SimulatedCall, resolve
from antiphon.testing.place import SimulatedPlace
from antiphon.worker.rooms import RoomAgent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from antiphon.turns import TurnPolicy
    from antiphon.worker.agent import Agent


class SimulatedRoom:
    """Nobody is in it at first. A context manager; without it, call `close`.

    What members say to each other is the edge's business and not simulated: a member hears the agent.
    """

    def __init__(
        self,
        agent: Agent | str | Path,
        *,
        name: str = "room",
        policy: TurnPolicy | None = None,
        restored: Any = None,  # noqa: ANN401
    ) -> None:
        """agent: a function decorated with `room_agent` or not, a built-in agent's name, or a file with one agent.

        restored: the room's checkpoint of an agent before this one, whose worker was lost.
        """
        _, resolved = resolve(agent)
        self._agent: Agent = (
            resolved if isinstance(resolved, RoomAgent) or isinstance(agent, str) else _in_room(resolved)
        )
        self._policy = policy
        self._place = SimulatedPlace(name, restored)
        self._members: list[SimulatedCall] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def checkpoints(self) -> list[Any]:
        """What the agent wants to know again of the room where it begins anew."""
        return self._place.checkpoints

    def joins(self, *, metadata: Mapping[str, Any] | None = None) -> SimulatedCall:
        """Somebody comes: a SimulatedCall, with which time passes for all members."""
        session = f"ses_test_{len(self._members) + 1}"
        member = SimulatedCall(self._agent, metadata=metadata, policy=self._policy, place=self._place, session=session)
        self._members.append(member)
        return member

    def close(self) -> None:
        """All leave."""
        for member in self._members:
            member.close()


def _in_room(function: Any) -> RoomAgent:  # noqa: ANN401 - a test may give the plain function of a room
    return RoomAgent(function)
