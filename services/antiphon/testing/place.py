"""Where simulated calls take place: their loop of virtual time, and the room that they share, if any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from antiphon.testing.loop import VirtualTimeLoop
from antiphon.worker.rooms import Rooms

if TYPE_CHECKING:
    from antiphon.testing.call import SimulatedCall


class SimulatedPlace:
    """One loop, and what an edge would tell the worker of its room. The loop closes with the last call."""

    def __init__(self, room: str = "", restored: Any = None) -> None:  # noqa: ANN401
        """restored: the checkpoint of the room's agent before this one, whose worker was lost."""
        self.room = room
        self.restored = restored
        self.checkpoints: list[Any] = []
        self.loop = VirtualTimeLoop()
        self.rooms = Rooms()
        self._sessions: dict[SimulatedCall, str] = {}
        self._speaking: frozenset[SimulatedCall] = frozenset()
        self._muted: frozenset[SimulatedCall] = frozenset()

    def enter(self, call: SimulatedCall, session: str) -> None:
        self._sessions[call] = session

    def leave(self, call: SimulatedCall) -> None:
        self._sessions.pop(call, None)
        if not self._sessions:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    def speaks(self, call: SimulatedCall, speaking: bool) -> None:  # noqa: FBT001
        """What the edge would see in the levels."""
        muted = self._muted | {call} if call.muted else self._muted - {call}
        now = self._speaking | {call} if speaking and not call.muted else self._speaking - {call}
        if (now, muted) != (self._speaking, self._muted):
            self._speaking, self._muted = now, muted
            told = {session: (one in muted, one in now) for one, session in self._sessions.items()}
            self.rooms.changed("edge-test", self.room, told)
