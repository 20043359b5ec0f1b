"""Questions that all Redises of a cluster are asked: what happened, and which round trips their calls had.

None of them waits long for one that is slow or away.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from antiphon.cluster.events import Page
from antiphon.cluster.merging import cursor_of, event_order, positions_in
from antiphon.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from antiphon.cluster.cell import Cell
    from antiphon.cluster.events import Event
    from antiphon.cluster.records import RoundTrip

PATIENCE_S = 1.0
"""So long what one Redis says waits for another. One that a watch knows to be away is not waited for."""
_LEARNED_PATIENCE_S = 0.15
_LEARNED_S = 30.0
"""What is learned changes over hours: who placed a call of a network knows it for the next."""
_MOST_LEARNED = 10_000
_Answer = TypeVar("_Answer")


async def ask(cells: Sequence[Cell], question: Callable[[Cell], Awaitable[_Answer]]) -> dict[str, _Answer]:
    """By cell: the answers of those that answer in time.

    Raises UnavailableError where none does. One cell is waited for as long as a call may take.
    """
    if len(cells) == 1:
        return {cells[0].name: await question(cells[0])}
    asked = [cell for cell in cells if not cell.away] or list(cells)
    if not asked:
        return {}
    tasks = {cell.name: asyncio.ensure_future(question(cell)) for cell in asked}
    for task in tasks.values():
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # who asks may be cancelled
    try:
        await asyncio.wait(tasks.values(), timeout=PATIENCE_S)
    finally:
        for task in tasks.values():
            task.cancel()
    errors = [task.exception() for task in tasks.values() if task.done() and not task.cancelled()]
    for error in errors:
        if error is not None and not isinstance(error, UnavailableError):
            raise error
    found = {name: task.result() for name, task in tasks.items() if _answered(task)}
    if not found:
        raise next((e for e in errors if e is not None), UnavailableError("no region's Redis answers"))
    return found


def _answered(task: asyncio.Future[_Answer]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


class AllEvents:
    """One stream out of those of all cells. A cell's events come in order; those of others between, by their clocks."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = cells

    async def end(self) -> str:
        """The cursor behind the newest events. Raises UnavailableError."""
        ends = await ask(self._cells, lambda cell: cell.events.end())
        oldest = min(ends.values(), key=event_order)  # where one that is away stands nobody knows
        return cursor_of({cell.name: ends.get(cell.name, oldest) for cell in self._cells})

    async def after(self, last: str, *, project: str, members: bool) -> Page:
        """As Events.after, with cursors for `last` and as the events' ids. Raises UnavailableError.

        Events of a Redis that is away come when it is back.
        """
        positions = positions_in(last, [cell.name for cell in self._cells])
        pages = await ask(
            self._cells, lambda cell: cell.events.after(positions[cell.name], project=project, members=members)
        )
        found = [(event_order(event.id), name, event) for name, page in pages.items() for event in page.events]
        events: list[Event] = []
        for _, name, event in sorted(found, key=lambda one: one[:2]):
            positions[name] = event.id
            events.append(replace(event, id=cursor_of(positions)))
        positions |= {name: page.last for name, page in pages.items()}
        return Page(tuple(events), cursor_of(positions), any(page.gap for page in pages.values()))


class AllRoundTrips:
    """What all cells have learned. It is kept for a while here, since some of them are far."""

    def __init__(self, cells: Sequence[Cell], cell_of: Callable[[str], Cell]) -> None:
        self._cells = cells
        self._cell_of = cell_of
        self._kept: OrderedDict[tuple[str, ...], tuple[float, dict[str, Mapping[str, RoundTrip]]]] = OrderedDict()
        self._late: set[asyncio.Future[None]] = set()

    async def close(self) -> None:
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def learn(self, trips: Mapping[str, float]) -> int:
        """trips: ms by session id. Returns how many could be learned from.

        Raises UnavailableError where a Redis is away: what others have heard they then hear again.
        """
        by_cell: dict[str, dict[str, float]] = {}
        for session, ms in trips.items():
            by_cell.setdefault(self._cell_of(session).name, {})[session] = ms
        cells = {cell.name: cell for cell in self._cells}
        return sum([await cells[name].round_trips.learn(some) for name, some in by_cell.items()])

    async def learned(self, networks: Sequence[str]) -> dict[str, RoundTrip]:
        """By region. What a cell does not say in time counts for the next call. Raises UnavailableError."""
        if len(self._cells) == 1:
            return await self._cells[0].round_trips.learned(networks)
        if not networks:
            return {}
        key = tuple(networks)
        at, kept = self._kept.get(key, (0.0, {}))
        if not kept or time.monotonic() - at > _LEARNED_S:
            kept = dict(kept)
            self._kept[key] = time.monotonic(), kept
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_LEARNED:
                self._kept.popitem(last=False)
            asked = [asyncio.ensure_future(self._hear(cell, key, kept)) for cell in self._cells if not cell.away]
            for task in asked:
                self._late.add(task)
                task.add_done_callback(self._late.discard)
            if asked:
                await asyncio.wait(asked, timeout=_LEARNED_PATIENCE_S)
        return nearest(kept.values(), networks)

    async def _hear(self, cell: Cell, networks: tuple[str, ...], into: dict[str, Mapping[str, RoundTrip]]) -> None:
        with suppress(UnavailableError):  # the call's metric tells
            into[cell.name] = await cell.round_trips.learned(networks)


def nearest(told: Iterable[Mapping[str, RoundTrip]], networks: Sequence[str]) -> dict[str, RoundTrip]:
    """Of each region what is known of the narrowest network, and of that what most calls say."""
    found: dict[str, RoundTrip] = {}
    for trips in told:
        for region, trip in trips.items():
            known = found.get(region)
            if known is None or _worth(trip, networks) > _worth(known, networks):
                found[region] = trip
    return found


def _worth(trip: RoundTrip, networks: Sequence[str]) -> tuple[int, float]:
    return -networks.index(trip.network), trip.weight
