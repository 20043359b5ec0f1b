"""Notices who holds the event loop: a thread knocks every 20 ms, and looks at the loop's stack when nobody opens."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Self

from antiphon.telemetry import get_logger
from antiphon.worker import metrics

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_log = get_logger("worker.watchdog")
LIMIT_S = 0.05
_KNOCK_S = 0.02
_CALLS_SHOWN = 8
_LOOPS_OWN = frozenset({"selectors.py", "base_events.py", "events.py", "runners.py"})
"""Where a loop's thread is while it waits; uvloop has no Python frames of its own."""


class Watchdog:
    """A context manager, entered on the loop's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        answered = threading.Event()
        while not self._stop.wait(_KNOCK_S):
            answered.clear()
            knocked = time.monotonic()
            self._loop.call_soon_threadsafe(answered.set)
            if not answered.wait(LIMIT_S) and not self._stop.is_set():
                reported = self._report()
                while not answered.wait(0.1) and not self._stop.is_set():
                    pass
                held_s = time.monotonic() - knocked
                if reported:
                    metrics.LOOP_HELD_SECONDS.observe(held_s)
                    _log.warning("event loop is free again", held_ms=round(held_s * 1000))

    def _report(self) -> bool:
        """Returns whether somebody's code holds the loop; else the machine was too busy to wake its thread."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the one way to see another thread's stack
        task = asyncio.current_task(self._loop)
        if frame is None or (task is None and Path(frame.f_code.co_filename).name in _LOOPS_OWN):
            metrics.LOOP_STARVED.inc()
            return False
        session = task.get_name().partition("/")[0] if task is not None and "/" in task.get_name() else None
        metrics.LOOP_HELD.inc()
        _log.warning("event loop is held", over_ms=round(LIMIT_S * 1000), session=session, exception=_stack(frame))
        return True


def _stack(frame: FrameType) -> str:
    """The innermost calls, outermost first, without those that only run the loop."""
    calls = traceback.extract_stack(frame)
    loop = max((at for at, call in enumerate(calls) if Path(call.filename).name in _LOOPS_OWN), default=-1)
    return "".join(traceback.format_list(calls[loop + 1 :][-_CALLS_SHOWN:])).rstrip()
