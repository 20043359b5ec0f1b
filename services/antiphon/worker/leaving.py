"""Asks callers to come to another edge: those whose edge drains, a few at a time and again while they stay, those whose
room has gone ahead, and once those who would be better off elsewhere. Members of a room are asked all at once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from antiphon.cluster import Cluster, Membership
    from antiphon.worker.call import Call

_AT_ONCE = 20
"""So many are asked each step: each sets up a connection, at the edges that are left."""
_STEP_S = 0.25
_AGAIN_S = 10.0
_LOOK_S = 1.0
"""How often it is looked for members of rooms that were left behind."""


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
        """Asks some of those who shall leave, and of a room all. Returns how many."""
        wanted = {call: why for call, why in self._wanted().items() if call.legs.stands}
        keys = {(call.info.id, call.info.edge) for call in wanted}
        self._asked = {key: at for key, at in self._asked.items() if key in keys}
        groups: dict[str, list[Call]] = {}
        for call in wanted:
            if now_s - self._asked.get((call.info.id, call.info.edge), -_AGAIN_S) >= _AGAIN_S:
                groups.setdefault(call.info.room or call.info.id, []).append(call)
        asked = 0
        for call in chain.from_iterable(_as_many(groups.values(), _AT_ONCE)):
            self._asked[call.info.id, call.info.edge] = now_s
            call.tell("sessionMove", {"reason": wanted[call]})
            asked += 1
        return asked

    def _wanted(self) -> dict[Call, str]:
        """Who shall leave its edge, and why: it drains, or the call's room is at another by now."""
        calls = list(self._calls())
        rooms = edges_of_rooms((call.info.room, call.info.epoch, call.info.edge) for call in calls)
        wanted: dict[Call, str] = {}
        for call in calls:
            info = call.info
            if info.edge in self._draining:
                wanted[call] = "drain"
            elif info.room and rooms[info.room] != info.edge:
                wanted[call] = "room"
        return wanted

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
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _LOOK_S)
            self.step(loop.time())
            await asyncio.sleep(_STEP_S)


def edges_of_rooms(members: Iterable[tuple[str, int, str]]) -> dict[str, str]:
    """Where rooms are, of (room, epoch, edge) of each member: at the edge that a member came to last.

    Redis places whoever comes where the room is, and gives each who comes a newer epoch.
    """
    newest: dict[str, tuple[int, str]] = {}
    for room, epoch, edge in members:
        if room:
            newest[room] = max(newest.get(room, (0, "")), (epoch, edge))
    return {room: edge for room, (_, edge) in newest.items()}


def _as_many(groups: Iterable[list[Call]], most: int) -> Iterator[list[Call]]:
    """Groups until there are so many in all; none is divided."""
    for group in groups:
        if most <= 0:
            return
        most -= len(group)
        yield group
