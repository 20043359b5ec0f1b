"""Runs agents: opens calls while there is room, knows which are live, and lets them end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from antiphon.spans import OFF
from antiphon.telemetry import get_logger
from antiphon.worker import metrics
from antiphon.worker.call import Call, Hearing
from antiphon.worker.link.link import RefusedError
from antiphon.worker.rooms import RoomAgent, Rooms
from antiphon.worker.session import Session
from antiphon.worker.spans import SetUp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from antiphon.spans import Tracing
    from antiphon.worker.agent import Agent
    from antiphon.worker.checkpoints import Keeper
    from antiphon.worker.legs import Leg
    from antiphon.worker.recording import Recordings
    from antiphon.worker.transport import CallInfo, Transport

_log = get_logger("worker")
_DRAIN_S = 5.0
_ACKNOWLEDGE_S = 0.5
"""So much of what a worker has heard may be heard once more by the one that follows it."""
_ACKNOWLEDGE_SHARES = 10
"""The calls' turns in that time."""


class Host:
    """`agents` may be replaced at any time: it is asked when a session opens."""

    def __init__(
        self,
        agents: Mapping[str, Agent],
        hearing: Hearing,
        capacity: int,
        *,
        grace_s: float = 0.0,
        checkpoints: Keeper | None = None,
        recordings: Recordings | None = None,
        tracing: Tracing = OFF,
    ) -> None:
        """grace_s: for so long a session whose edge is lost waits for its caller."""
        self._tracing = tracing
        self._checkpoints = checkpoints
        self._recordings = recordings
        self.agents = agents
        self._grace_s = grace_s
        self._hearing = hearing
        self._capacity = capacity
        self._calls: dict[str, Call] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._rooms = Rooms()

    @property
    def sessions(self) -> Mapping[str, int]:
        """Epochs of the live sessions by id."""
        return {call.info.id: call.info.epoch for call in self._calls.values()}

    @property
    def calls(self) -> Iterable[Call]:
        """The live ones."""
        return tuple(self._calls.values())

    def open(self, info: CallInfo, transport: Transport) -> Leg:
        """Raises RefusedError."""
        set_up = SetUp(info, self._tracing)
        try:
            return self._open(info, transport, set_up)
        except RefusedError as error:
            set_up.refused(error.reason)
            raise

    def _open(self, info: CallInfo, transport: Transport, set_up: SetUp) -> Leg:
        known = self._calls.get(info.id)
        if known is not None and info.takeover is not None:
            self._rooms.abandon(known)
            known.close("moved")  # others had the session since: what this one knows is old
        elif known is not None:
            newest = known.legs.coming or known.legs.here
            if info.epoch <= newest.info.epoch:
                raise RefusedError("stale_epoch", f"edge {newest.info.edge} has this session, at a newer epoch")
            leg = known.legs.begin(info, transport)
            set_up.moved_here()
            return leg
        agent = self.agents.get(info.agent)
        if agent is None:
            raise RefusedError(
                "unknown_agent", f"no agent {info.agent!r} here; there are {', '.join(sorted(self.agents))}"
            )
        if self._draining:
            raise RefusedError("draining", "this worker is shutting down")
        if len(self._calls) >= self._capacity:
            raise RefusedError("capacity", f"this worker carries {self._capacity} sessions already")
        call = Call(
            info,
            transport,
            self._hearing,
            self._closed,
            grace_s=self._grace_s,
            checkpoints=self._checkpoints,
            recordings=self._recordings,
            set_up=set_up,
        )
        self._calls[info.id] = call
        self._empty.clear()
        metrics.SESSIONS.labels(info.agent).inc()
        call.log.info("session opened", edge=info.edge, region=info.region, taken_over=info.takeover is not None)
        if info.takeover is not None:
            metrics.TAKEOVERS.inc()
        call.start(self._rooms.attend(agent, call) if isinstance(agent, RoomAgent) else agent(Session(call)))
        set_up.opened()
        return call.legs.here

    async def acknowledge(self) -> None:
        """Tells edges what they need not keep, until it is cancelled."""
        while True:
            calls = tuple(self.calls)
            for share in range(_ACKNOWLEDGE_SHARES):  # all at once would delay what they say
                for call in calls[share::_ACKNOWLEDGE_SHARES]:
                    call.succession.acknowledge()
                await asyncio.sleep(_ACKNOWLEDGE_S / _ACKNOWLEDGE_SHARES)

    def let_go(self, stale: Sequence[str]) -> None:
        """Others have these sessions. One that still has an edge is not among them, whatever Redis has heard by now."""
        for session in stale:
            call = self._calls.get(session)
            if call is not None and call.legs.waits:
                call.close("moved")

    def room_changed(self, edge: str, room: str, members: Mapping[str, tuple[bool, bool]]) -> None:
        self._rooms.changed(edge, room, members)

    def _closed(self, call: Call) -> None:
        self._calls.pop(call.info.id, None)
        if not self._calls:
            self._empty.set()
        metrics.SESSIONS.labels(call.info.agent).dec()
        ending = asyncio.create_task(self._end(call))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    @staticmethod
    async def _end(call: Call) -> None:
        try:
            async with asyncio.timeout(_DRAIN_S):
                await call.wait_tasks()
        except TimeoutError:
            call.log.warning("agent goes on after its session", seconds=_DRAIN_S)

    async def wait_empty(self) -> None:
        """Returns when no session lives."""
        await self._empty.wait()

    def hang_up(self) -> None:
        """Ends all sessions, whatever they are at."""
        for call in tuple(self._calls.values()):
            call.hang_up("worker", after_playout=False)
            call.close("worker")

    async def drain(self) -> None:
        """Takes no more sessions, hangs up, and waits for the agents' code to end."""
        self._draining = True
        self.hang_up()
        if self._ending:
            await asyncio.wait(self._ending)
