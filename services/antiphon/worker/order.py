"""Puts repaired frames in their places: what is behind a gap waits for it, but not for long."""

from __future__ import annotations

import asyncio
from bisect import insort
from typing import TYPE_CHECKING

from antiphon.frames import Frame, Gap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from antiphon.worker.ingest import GapQueue

_MOST_MISSING = 512


class Order:
    """Frames and gaps in as they come, frames in order out. Pure: `now` is any clock, in seconds."""

    def __init__(self) -> None:
        self._missing: dict[int, float] = {}
        """Until when each missing packet is waited for, by its sequence."""
        self._held: list[Frame] = []

    def __len__(self) -> int:
        """Frames that wait."""
        return len(self._held)

    @property
    def deadline(self) -> float | None:
        """When `hear` or `pass_over` has something to let go; None when nothing waits."""
        return min(self._missing.values()) if self._held and self._missing else None

    def hear(self, item: Frame | Gap, now: float, wait: float) -> list[Frame]:
        if isinstance(item, Frame):
            self._missing.pop(item.sequence, None)
            insort(self._held, item, key=lambda frame: frame.sequence)
        else:
            for sequence in range(item.first, item.first + min(item.missing, _MOST_MISSING)):
                if item.lost:
                    self._missing.pop(sequence, None)
                elif len(self._missing) < _MOST_MISSING:
                    self._missing[sequence] = now + wait
        return self._let_go()

    def pass_over(self, now: float) -> list[Frame]:
        """Waits no longer for what should have come by now."""
        for sequence in [sequence for sequence, until in self._missing.items() if until <= now]:
            del self._missing[sequence]
        return self._let_go()

    def _let_go(self) -> list[Frame]:
        if not self._missing:
            ready, self._held = self._held, []
            return ready
        first = min(self._missing)
        at = 0
        while at < len(self._held) and self._held[at].sequence < first:
            at += 1
        ready, self._held = self._held[:at], self._held[at:]
        return ready


async def in_order(reader: GapQueue, wait: Callable[[], float]) -> AsyncIterator[Frame]:
    """The frames of a reader in order; `wait` says for how many seconds a gap is waited for."""
    order, loop = Order(), asyncio.get_running_loop()
    while True:
        try:
            async with asyncio.timeout_at(order.deadline):
                await reader.ready()
        except TimeoutError:
            frames = order.pass_over(loop.time())
        else:
            item = await anext(reader, None)
            frames = [] if item is None else order.hear(item, loop.time(), wait())
        for frame in frames:
            yield frame
        if reader.closed and not len(reader):
            for frame in order.pass_over(float("inf")):
                yield frame
            return
