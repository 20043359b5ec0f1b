"""A member that drains takes no new sessions; those that it has end by themselves, or at a deadline.

It drains because the cluster orders it, which may be taken back, or because its process is told to stop, which may not.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from antiphon import telemetry
from antiphon.cluster.records import Drain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

_log = telemetry.get_logger("cluster")
_ALL_AT_ONCE_S = 1.0
"""Sessions that are ended at the deadline are gone within this."""


class Draining:
    """What a member is ordered. `overdue()` is called at each deadline: end what is left."""

    def __init__(self, overdue: Callable[[], None]) -> None:
        self._overdue = overdue
        self._ordered: Drain | None = None
        self._stopping: Drain | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def order(self) -> Drain | None:
        """The order that counts; None while sessions are taken."""
        return self._stopping or self._ordered

    @property
    def active(self) -> bool:
        return self.order is not None

    def hear(self, order: Drain | None, now_ms: int) -> None:
        """What the cluster orders, None for nothing, told at each renewal. `now_ms` is on the order's clock."""
        if order == self._ordered:
            return
        self._ordered = order
        if self._stopping is None:
            _log.info("drains" if order else "drains no more")
            self._set_timer(None if order is None else (order.until_ms - now_ms) / 1000)

    def stop(self, seconds: float, sessions: int) -> None:
        """The process ends: as an order, but nothing takes it back."""
        now_ms = round(time.time() * 1000)
        self._stopping = Drain(now_ms, now_ms + round(seconds * 1000), sessions)
        _log.info("drains before it stops", seconds=seconds, sessions=sessions)
        self._set_timer(seconds)

    def close(self) -> None:
        self._set_timer(None)

    def _set_timer(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._overdue)


async def serve_until_drained(
    serving: Coroutine[Any, Any, None],
    draining: Draining,
    *,
    seconds: float,
    sessions: Callable[[], int],
    empty: Callable[[], Awaitable[object]],
    told: Callable[[], None],
) -> None:
    """Serves until cancelled, and then on until no session is left, for so many seconds at most.

    `empty()` returns when there is none. `told()` is called once it drains: let the cluster know.
    """
    task = asyncio.create_task(serving)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if sessions() and seconds > 0 and not task.done():
            draining.stop(seconds, sessions())
            told()
            last = asyncio.ensure_future(empty())
            await asyncio.wait((task, last), timeout=seconds + _ALL_AT_ONCE_S, return_when=asyncio.FIRST_COMPLETED)
            last.cancel()
        raise
    finally:
        draining.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
