"""Tells the cluster which round trips this edge's callers have, so that placement learns how far their networks are.

Each live call is asked a few seconds after it began and each minute from then on, and once more when it ends.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from antiphon import telemetry
from antiphon.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from antiphon.edge.sessions import SessionBook

log = structlog.get_logger(__name__)

_LEARNED = telemetry.counter("edge_round_trips_learned", "Round trips of calls that the cluster has heard of.")
_DROPPED = telemetry.counter("edge_round_trips_dropped", "Round trips of calls that it has not.", ["reason"])

_TICK_S = 2.0
_FIRST_S, _AGAIN_S = 8.0, 60.0
_MOST_AT_ONCE = 64
_MOST_WAITING = 1000
_LONGEST_MS = 10_000.0


class Statistics(Protocol):
    """The part of the media plane that this file needs."""

    def session_stats(self, session: str) -> dict[str, object] | None: ...


class RoundTripReports:
    """What is to be told, bounded: the newest replaces an earlier one of its session."""

    def __init__(
        self, plane: Statistics, book: SessionBook, learn: Callable[[Mapping[str, float]], Awaitable[int]]
    ) -> None:
        self._plane = plane
        self._book = book
        self._learn = learn
        self._due: dict[str, float] = {}
        self._waiting: dict[str, float] = {}

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            await self.report(time.monotonic())

    def ended(self, session: str, quality: Mapping[str, Any]) -> None:
        """A call's last word."""
        self._due.pop(session, None)
        self._take(session, quality)

    async def report(self, now: float) -> None:
        """Asks calls that are due at `now` (seconds, monotonic) and tells the cluster what came."""
        due = self._take_due(now)
        for session, quality in (await asyncio.to_thread(self._look_at, due) if due else {}).items():
            self._take(session, quality)
        if not self._waiting:
            return
        trips, self._waiting = self._waiting, {}
        try:
            _LEARNED.inc(await self._learn(trips))
        except UnavailableError:  # the lease's renewal says so already; other calls will teach the same
            _DROPPED.labels("unavailable").inc(len(trips))

    def _take_due(self, now: float) -> list[str]:
        live = {session.id for session in self._book}
        self._due = {session: self._due.get(session, now + _FIRST_S) for session in live}
        due = sorted((at, session) for session, at in self._due.items() if at <= now)[:_MOST_AT_ONCE]
        for _, session in due:
            self._due[session] = now + _AGAIN_S
        return [session for _, session in due]

    def _look_at(self, sessions: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Waits for the sessions' shards to answer, so it runs on a thread of its own."""
        found = {session: self._plane.session_stats(session) for session in sessions}
        return {session: dict(stats["quality"]) for session, stats in found.items() if stats}  # type: ignore[call-overload]

    def _take(self, session: str, quality: Mapping[str, Any]) -> None:
        ms = quality.get("rtt_ms")
        if not isinstance(ms, float | int) or not 0 < ms <= _LONGEST_MS:
            return
        if session not in self._waiting and len(self._waiting) >= _MOST_WAITING:
            _DROPPED.labels("full").inc()
            return
        self._waiting[session] = float(ms)
