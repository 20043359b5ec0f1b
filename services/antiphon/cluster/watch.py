"""Follows the membership: pushed changes, a poll each second, and what to believe while Redis is away or empty."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from antiphon import telemetry
from antiphon.cluster.records import LEASE_S, RENEW_S, Membership
from antiphon.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from antiphon.cluster.cell import Cell
    from antiphon.cluster.functions import Functions

_log = telemetry.get_logger("cluster")
_UNBORN = "0"  # a memory that no member has written to yet


class Watch:
    """One follower for all who watch a cluster from this process; it starts with the first of them."""

    def __init__(self, functions: Functions, poll: Callable[[], Awaitable[tuple[str, Membership]]]) -> None:
        self.known: Membership | None = None
        self.away = False
        """Whether Redis gave no answer when it was last asked."""
        self._functions = functions
        self._poll = poll
        self._changed = asyncio.Condition()
        self._pushed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._born = _UNBORN
        self._before: Membership | None = None  # believed until `_believe_until`, after the memory was lost
        self._believe_until = 0.0

    async def close(self) -> None:
        while running := [task for task in self._tasks if not task.done()]:
            for task in running:
                task.cancel()  # again, until it is heard: see Functions on redis-py and cancellation
            await asyncio.wait(running, timeout=0.1)
        self._tasks.clear()

    async def changes(self) -> AsyncIterator[Membership]:
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._listen())]
        seen: Membership | None = None
        while True:
            async with self._changed:
                while self.known is None or self.known == seen:
                    await self._changed.wait()
                seen = self.known
            yield seen

    async def _follow(self) -> None:
        while True:
            self._pushed.clear()
            found: Membership | None = self.known
            try:
                found = self._settle(*await self._poll())
                self.away = False
            except UnavailableError as error:
                if not self.away:
                    _log.warning("the membership is the last known one", error=str(error))
                self.away = True
            except Exception:  # noqa: BLE001 - what another version wrote must not end the watch for good
                _log.exception("the membership cannot be read; it is the last known one")
            if found != self.known:
                async with self._changed:
                    self.known = found
                    self._changed.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEW_S):
                    await self._pushed.wait()

    def _settle(self, born: str, found: Membership) -> Membership:
        """A memory that was lost fills again within a second or so: until then, those who were there still are."""
        if self._born not in {_UNBORN, born}:
            _log.warning("the cluster's Redis lost its memory; members register anew")
            self._before, self._believe_until = self.known, time.monotonic() + LEASE_S
        self._born = born
        if self._before is None or time.monotonic() > self._believe_until:
            self._before = None
            return found
        edges = {edge.id: edge for edge in self._before.edges} | {edge.id: edge for edge in found.edges}
        workers = {w.id: w for w in self._before.workers} | {w.id: w for w in found.workers}
        return Membership(tuple(edges[key] for key in sorted(edges)), tuple(workers[key] for key in sorted(workers)))

    async def _listen(self) -> None:
        """Pushes only hasten the next poll, so a lost one costs a second and nothing else."""
        while True:
            try:
                async with self._functions.subscribe() as channel:
                    await channel.subscribe(self._functions.changes)
                    self._pushed.set()  # what changed before the subscription
                    while True:
                        if await channel.get_message(timeout=10.0):
                            self._pushed.set()
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(RENEW_S)


class Watching:
    """Follows all cells as one membership."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = cells
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    @property
    def known(self) -> Membership | None:
        """Of each cell what was last heard of it."""
        found = [cell.known for cell in self._cells if cell.known is not None]
        if len(found) < 2:
            return found[0] if found else None
        return Membership.union(found)

    def changes(self) -> AsyncIterator[Membership]:
        return self._cells[0].watch() if len(self._cells) == 1 else self._union()

    async def _union(self) -> AsyncIterator[Membership]:
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._follow(cell)) for cell in self._cells]
        seen: Membership | None = None
        while True:
            async with self._changed:
                while (found := self.known) is None or found == seen:
                    await self._changed.wait()
                seen = found
            yield seen

    async def _follow(self, cell: Cell) -> None:
        async for _ in cell.watch():
            async with self._changed:
                self._changed.notify_all()
