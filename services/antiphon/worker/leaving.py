"""Asks callers to come to another edge: those whose edge drains, a few at a time and again while they stay, and once
those who would be better off elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from antiphon.cluster import Cluster, Membership
    from antiphon.worker.call import Call

_AT_ONCE = 20
"""So many are asked each step: each sets up a connection, at the edges that are left."""
_STEP_S = 0.25
_AGAIN_S = 10.0


class Leaving:
    """`calls()` are those that live here."""

    def __init__(self, calls: Callable[[], Iterable[Call]]) -> None:
        self._calls = calls
        self._asked: dict[tuple[str, str], float] = {}
        """When a session was asked last, by its id and edge."""
        self._draining: frozenset[str] = frozenset()
        self._changed = asyncio.Event()

    async def run(self, cluster: Cluster) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(cluster))
            tasks.create_task(self._ask())

    def heard(self, membership: Membership) -> None:
        """Nobody is asked to leave where there is nowhere to go."""
        draining = frozenset(edge.id for edge in membership.edges if edge.draining)
        self._draining = draining if len(draining) < len(membership.edges) else frozenset()
        if self._draining:
            self._changed.set()

    def step(self, now_s: float) -> int:
        """Asks some of those who shall leave. Returns how many."""
        stay = [call for call in self._calls() if call.info.edge in self._draining and not call.info.room]
        keys = {(call.info.id, call.info.edge) for call in stay}
        self._asked = {key: at for key, at in self._asked.items() if key in keys}
        due = [call for call in stay if now_s - self._asked.get((call.info.id, call.info.edge), -_AGAIN_S) >= _AGAIN_S]
        for call in due[:_AT_ONCE]:
            self._asked[call.info.id, call.info.edge] = now_s
            call.tell("sessionMove", {"reason": "drain"})
        return len(due[:_AT_ONCE])

    def rebalance(self, sessions: Sequence[str]) -> None:
        """Signaling knows where each of these is to go. Who does not come stays where it is."""
        wanted = frozenset(sessions)
        for call in self._calls():
            if call.info.id in wanted and not call.info.room:
                call.tell("sessionMove", {"reason": "rebalance"})

    async def _follow(self, cluster: Cluster) -> None:
        async for membership in cluster.watch():
            self.heard(membership)

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._draining:
                self._changed.clear()
                await self._changed.wait()
            self.step(loop.time())
            await asyncio.sleep(_STEP_S)
