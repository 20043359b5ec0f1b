"""Joins native callers to greenlets: one pump polls the native module in batches; nothing here blocks gevent's hub."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import gevent
from gevent.queue import Empty, Queue

from antiphon.callers import start_callers
from loadtest.load.clips import spoken_clips
from loadtest.load.schedule import Bins, quantile, since

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.load.personas import Persona

    Tell = Callable[[str, float, str | None], None]

_PAUSE_S = 0.02
_SAMPLE_S = 1.0
_SHOWN = (0.05, 0.15, 0.25, 0.35, 0.45, 0.5, 0.55, 0.65, 0.75, 0.85, 0.95, 0.99)
"""Quantiles of each second's delays that are put into locust's statistics: every delay would be too many."""
_NAMES = {
    "ice": "ICE",
    "dtls": "DTLS",
    "connected": "set-up",
    "first_audio": "first audio",
    "turn": "turn latency",
    "barge_in": "barge-in",
    "roamed": "roam",
}


class Line:
    """One native caller, for the greenlet that plays it."""

    def __init__(self, switchboard: Switchboard, call: int, offer: str) -> None:
        self._switchboard = switchboard
        self._events: Queue[tuple[str, str]] = Queue()
        self.call = call
        self.offer = offer
        self.region = ""
        self.over = False

    def answer(self, sdp: str) -> None:
        self._switchboard.native.answer(self.call, sdp)

    def speak(self, clip: int) -> None:
        self._switchboard.native.speak(self.call, clip)

    def roam(self) -> None:
        self._switchboard.native.roam(self.call)

    def vanish(self) -> None:
        self._switchboard.native.vanish(self.call)

    def hang_up(self) -> None:
        self._switchboard.drop(self)
        self._switchboard.native.hang_up(self.call)

    def wait(self, *kinds: str, seconds: float) -> str | None:
        """The next event of these kinds, or `ended`; None once the time is over. What came before is passed over."""
        end = time.monotonic() + seconds
        while not self.over and (left := end - time.monotonic()) > 0:
            try:
                kind, _ = self._events.get(timeout=left)
            except Empty:
                return None
            if kind in kinds or kind == "ended":
                return str(kind)
        return "ended" if self.over else None

    def forget(self) -> None:
        """Passes over what has happened so far."""
        while not self._events.empty():
            self._events.get_nowait()

    def happened(self, kind: str, text: str) -> None:
        self.over = self.over or kind == "ended"
        self._events.put((kind, text))


class Switchboard:
    """All native callers of this process."""

    def __init__(self, *, bind: str, threads: int, echoes: bool, tell: Tell) -> None:
        """tell: takes a name, ms, and what failed. Raises NoCallersError, OSError, ValueError."""
        self.native = start_callers(bind=bind, threads=threads)
        self.clips = [self.native.add_clip(clip) for clip in spoken_clips()]
        self.hub_late: Bins = {}
        self._echoes = echoes
        self._tell = tell
        self._lines: dict[int, Line] = {}
        self._pump = gevent.spawn(self._run)
        self._sampler = gevent.spawn(self._sample)

    def line(self, persona: Persona) -> Line:
        """A caller with its offer. Raises ConnectionError, OSError."""
        call, offer = self.native.offer(persona.name, echoes=self._echoes, impairment=persona.impairment)
        line = self._lines[call] = Line(self, call, offer)
        return line

    @property
    def lines(self) -> list[Line]:
        return list(self._lines.values())

    def drop(self, line: Line) -> None:
        self._lines.pop(line.call, None)

    def totals(self) -> dict[str, Any]:
        """What was counted since the beginning, with distributions as dictionaries and the hub's lateness."""
        totals = self.native.totals()
        for group in totals["groups"].values():
            group["delay_us"] = dict(group["delay_us"])
        return totals | {"lateness_us": dict(totals["lateness_us"]), "hub_late_us": dict(self.hub_late)}

    def close(self) -> None:
        gevent.killall([self._pump, self._sampler])
        self.native.close()

    def _run(self) -> None:
        while True:
            due = time.monotonic() + _PAUSE_S
            gevent.sleep(_PAUSE_S)
            late = _bin(max(0.0, time.monotonic() - due))
            self.hub_late[late] = self.hub_late.get(late, 0) + 1
            for call, kind, ms, text in self.native.poll():
                self._happened(call, kind, ms, text)

    def _happened(self, call: int, kind: str, ms: float, text: str) -> None:
        if kind in _NAMES:
            self._tell(_NAMES[kind], ms, None)
        elif kind == "went_on":
            self._tell("barge-in", 3_000.0, "the agent spoke on for 3 s")
        elif kind == "ended" and text:
            self._tell("call", 0.0, text)
        line = self._lines.get(call)
        if line is not None:
            line.happened(kind, text)
            if kind == "ended":
                self.drop(line)

    def _sample(self) -> None:
        before: Bins = {}
        while True:
            gevent.sleep(_SAMPLE_S)
            delays: Bins = {}
            for group in self.native.totals()["groups"].values():
                for bound, count in group["delay_us"]:
                    delays[bound] = delays.get(bound, 0) + count
            new, before = since(delays, before), delays
            for ms in shown(new):
                self._tell("mouth to ear", ms, None)


def shown(bins: Bins) -> list[float]:
    """Delays in ms that stand for a second's."""
    found = (quantile(bins, share) for share in _SHOWN)
    return [ms for ms in found if ms is not None]


def _bin(seconds: float) -> int:
    """The upper bound in us of a bin, a tenth wide."""
    bound = 100.0
    while bound < seconds * 1e6:
        bound *= 1.1
    return int(bound)
