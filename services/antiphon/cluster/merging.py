"""What several Redises tell, put together: pages of sessions, and where a reader of events is in each of their streams.

Pure; who asks them is store.py's and everywhere.py's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.cluster.records import SessionPage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from antiphon.cluster.records import SessionRecord


def merge_pages(pages: Iterable[SessionPage], limit: int, after: str, away: Sequence[str] = ()) -> SessionPage:
    """The newest first. `after` is the `next` of the merged page before; each of these was asked for with it.

    Of a page that others follow nothing is known behind its `next`: no older session is told of before those.
    """
    pages = tuple(pages)
    known_to = max((_place_in(page.next) for page in pages if page.next), default=(0, ""))
    found = {record.id: record for page in pages for record in page.records}
    begin = _place_in(after) if after else None
    ordered = sorted(found.values(), key=_place_of, reverse=True)
    told = [one for one in ordered if _place_of(one) >= known_to and (begin is None or _place_of(one) < begin)]
    if len(told) > limit:
        return SessionPage(tuple(told[:limit]), _text(_place_of(told[limit - 1])), tuple(away))
    return SessionPage(tuple(told), _text(known_to) if known_to[1] else "", tuple(away))


def _place_of(record: SessionRecord) -> tuple[int, str]:
    return record.created_ms, record.id


def _place_in(cursor: str) -> tuple[int, str]:
    created_ms, _, session = cursor.partition(" ")
    return int(created_ms), session


def _text(place: tuple[int, str]) -> str:
    return f"{place[0]} {place[1]}"


def positions_in(cursor: str, cells: Iterable[str]) -> dict[str, str]:
    """The event to go on after in each cell's stream.

    A cursor of one stream stands for a moment, since ids begin with milliseconds; so does one of other cells than
    these, as far as the cells are new: its oldest.
    """
    if ":" not in cursor:
        return dict.fromkeys(cells, cursor)
    told = dict(part.split(":", 1) for part in cursor.split(","))
    oldest = min(told.values(), key=event_order)
    return {cell: told.get(cell, oldest) for cell in cells}


def cursor_of(positions: Mapping[str, str]) -> str:
    """As `positions_in` reads it. With one Redis for all it is the event's id there."""
    if len(positions) == 1:
        return next(iter(positions.values()))
    return ",".join(f"{cell}:{positions[cell]}" for cell in sorted(positions))


def event_order(event_id: str) -> tuple[int, int]:
    """By the clock of the Redis that wrote it."""
    ms, _, sequence = event_id.partition("-")
    return int(ms), int(sequence)
