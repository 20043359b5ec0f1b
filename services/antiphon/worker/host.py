"""Runs agents: opens calls while there is room, knows which are live, and lets them end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from antiphon.telemetry import get_logger
from antiphon.worker import metrics
from antiphon.worker.call import Call, Hearing
from antiphon.worker.link.link import RefusedError
from antiphon.worker.rooms import RoomAgent, Rooms
from antiphon.worker.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiphon.worker.agent import Agent
    from antiphon.worker.transport import CallInfo, Transport

_log = get_logger("worker")
_DRAIN_S = 5.0


class Host:
    """`agents` may be replaced at any time: it is asked when a session opens."""

    def __init__(self, agents: Mapping[str, Agent], hearing: Hearing, capacity: int) -> None:
        self.agents = agents
        self._hearing = hearing
        self._capacity = capacity
        self._calls: dict[Call, None] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._draining = False
        self._rooms = Rooms()

    @property
    def sessions(self) -> Mapping[str, int]:
        """Epochs of the live sessions by id."""
        return {call.info.id: call.info.epoch for call in self._calls}

    def open(self, info: CallInfo, transport: Transport) -> Call:
        agent = self.agents.get(info.agent)
        if agent is None:
            raise RefusedError(
                "unknown_agent", f"no agent {info.agent!r} here; there are {', '.join(sorted(self.agents))}"
            )
        if self._draining:
            raise RefusedError("draining", "this worker is shutting down")
        if len(self._calls) >= self._capacity:
            raise RefusedError("capacity", f"this worker carries {self._capacity} sessions already")
        call = Call(info, transport, self._hearing, self._closed)
        self._calls[call] = None
        metrics.SESSIONS.labels(info.agent).inc()
        call.log.info("session opened", edge=info.edge, region=info.region)
        call.start(self._rooms.attend(agent, call) if isinstance(agent, RoomAgent) else agent(Session(call)))
        return call

    def room_changed(self, edge: str, room: str, members: Mapping[str, tuple[bool, bool]]) -> None:
        self._rooms.changed(edge, room, members)

    def _closed(self, call: Call) -> None:
        del self._calls[call]
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

    async def drain(self) -> None:
        """Takes no more sessions, hangs up, and waits for the agents' code to end."""
        self._draining = True
        for call in tuple(self._calls):
            call.hang_up("worker", after_playout=False)
            call.close("worker")
        if self._ending:
            await asyncio.wait(self._ending)
