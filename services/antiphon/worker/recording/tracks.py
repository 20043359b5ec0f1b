"""Where frames belong in time: pure. Both tracks stand on one time line, that of the caller's audio.

A caller's frame stands where it was sampled, by its timestamp; the first of them where it was received. Repairs come
late, so frames wait for a while before they are written. An agent's frame stands where it was at the caller's ear, as
the heard ledger tells (docs/ledger.md): what was never heard has no place, and a hold moves what is behind it.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Protocol

from antiphon.frames import CLOCK_RATE
from antiphon.worker.session_clock import SessionClock

if TYPE_CHECKING:
    from antiphon.worker.recording.events import Forwarded, Forwarding, Queued, Received, Reported, Settled

WAIT_S = 2.0
"""For repairs; none comes later."""
_SETTLE_S = 1.0
"""Behind the begin of speech, its place is taken to be known: the first reports of a caller's device come within it."""
_TO_THE_EAR_S = 0.1
"""Before an edge tells."""
_STRAIGHT = CLOCK_RATE * 6 // 100
"""What is forwarded and comes so much sooner or later than it is due follows what was before it."""


class Sink(Protocol):
    """A track that packets are written to, in order: see `OggTrack`."""

    @property
    def end(self) -> int: ...

    def place(self, at: int, duration: int, payload: bytes, *, bridge: bool) -> bool: ...

    def pad(self, until: int, *, bridge: bool) -> None: ...


class TimeLine:
    """Places in 48 kHz samples since the recording began."""

    def __init__(self) -> None:
        self._clock = SessionClock()
        self.origin_s: float | None = None
        """When it began, on the event loop's clock."""
        self._first = 0
        self._base = 0

    def begin(self, now_s: float) -> None:
        if self.origin_s is None:
            self.origin_s = now_s

    def received(self, frame: Received) -> int | None:
        """The place of a caller's frame; None before there is one that says when it came."""
        if frame.arrival_s is None:
            return self._base + frame.timestamp - self._first if self._clock.begun else None
        if not self._clock.begun:
            begin_s = frame.arrival_s - frame.duration / CLOCK_RATE
            if self.origin_s is None:
                self.origin_s = begin_s
            self._first = frame.timestamp
            self._base = max(0, round((begin_s - self.origin_s) * CLOCK_RATE))
        said_s = (frame.timestamp + frame.duration - self._first) / CLOCK_RATE
        self._clock.sync(frame.arrival_s, said_s)
        return self._base + frame.timestamp - self._first

    def at(self, moment_s: float) -> int:
        """The place of a moment."""
        if self._clock.begun:
            return self._base + round(self._clock.at(moment_s) * CLOCK_RATE)
        return round((moment_s - (self.origin_s if self.origin_s is not None else moment_s)) * CLOCK_RATE)


class CallerTrack:
    """As received. Counts what came too late."""

    def __init__(self, line: TimeLine, sink: Sink) -> None:
        self._line = line
        self._sink = sink
        self._waiting: list[tuple[int, int, bytes]] = []
        self._newest = 0
        self.late = 0

    def hear(self, frame: Received) -> None:
        at = self._line.received(frame)
        if at is None or at < 0:
            self.late += 1
        else:
            heappush(self._waiting, (at, frame.duration, frame.payload))
            self._newest = max(self._newest, at)

    def advance(self, now_s: float, *, last: bool = False) -> None:
        """Writes what nothing can come before any more, told by what came since; with `last` all of it."""
        settled = self._newest - round(WAIT_S * CLOCK_RATE)
        while self._waiting and (last or self._waiting[0][0] <= settled):
            at, duration, payload = heappop(self._waiting)
            if not self._sink.place(at, duration, payload, bridge=True):
                self.late += 1
        if last:
            self._sink.pad(self._line.at(now_s), bridge=True)


class _Run:
    """A stretch of an utterance that is heard without a pause."""

    def __init__(self, begin: int, at_s: float) -> None:
        self.begin = begin
        """Where in the utterance."""
        self.at_s = at_s
        """When that is at the caller's ear."""
        self.place: int | None = None
        """The same on the time line, once something of it was written."""
        self._estimated = True

    def hear(self, report: Reported) -> None:
        """Word that was soonest tells best; what was heard already better than what is expected to be."""
        if report.paused or report.heard <= self.begin:
            return
        at_s = report.now_s - (report.heard - self.begin) / CLOCK_RATE
        self.at_s = at_s if self._estimated else min(self.at_s, at_s)
        self._estimated = False


class AgentTrack:
    """As heard."""

    def __init__(self, line: TimeLine, sink: Sink) -> None:
        self._line = line
        self._sink = sink
        self._queued: dict[int, deque[Queued]] = {}
        self._run: _Run | None = None
        self._current = 0
        self._paused_at: int | None = None
        self._began_us = 0
        self._to_the_ear_s = _TO_THE_EAR_S
        self.unheard = 0
        """Packets that were never heard."""

    def queue(self, packet: Queued) -> None:
        self._queued.setdefault(packet.utterance, deque()).append(packet)

    def forward(self, packet: Forwarded) -> None:
        at = self._line.at(packet.now_s + self._to_the_ear_s)
        if abs(at - self._sink.end) < _STRAIGHT:
            at = self._sink.end
        self._sink.place(at, packet.duration, packet.payload, bridge=True)

    def hear_of(self, forwarding: Forwarding) -> None:
        self._to_the_ear_s = forwarding.to_the_ear_s or self._to_the_ear_s

    def report(self, report: Reported) -> None:
        if report.to_the_ear_s:
            self._to_the_ear_s = report.to_the_ear_s
        if report.utterance not in self._queued:
            return  # forwarded, or settled already
        if report.utterance != self._current:
            self._current, self._run, self._paused_at, self._began_us = report.utterance, None, None, 0
        if report.began_us and report.began_us != self._began_us:  # its first frame at this edge
            self._write(report.base, final=True)
            self._began_us = report.began_us
            self._run = _Run(report.base, report.now_s + self._to_the_ear_s)
            self._paused_at = None
        elif self._run is not None:
            self._run.hear(report)
        if report.paused:
            self._paused_at = report.sent  # what has left is still heard, then comes the pause
        elif self._paused_at is not None:
            self._write(self._paused_at, final=True)
            self._run = _Run(self._paused_at, report.now_s + self._to_the_ear_s)
            self._paused_at = None
        settled = self._run is not None and report.now_s - self._run.at_s > _SETTLE_S
        self._write(report.heard, final=settled)

    def settle(self, settled: Settled) -> None:
        """The last of an utterance."""
        if settled.utterance in self._queued:
            if self._current == settled.utterance:
                if self._paused_at is not None:
                    self._write(min(settled.heard, self._paused_at), final=True)
                self._write(settled.heard, final=True)
            self.unheard += len(self._queued.pop(settled.utterance))

    def advance(self, now_s: float, *, last: bool = False) -> None:
        """Fills the time in which nothing was said."""
        speaks = any(self._queued.values()) and not last
        if not speaks:
            self._sink.pad(self._line.at(now_s) - (0 if last else CLOCK_RATE), bridge=False)

    def _write(self, heard: int, *, final: bool) -> None:
        """What of the current utterance was heard up to here. Its place is settled with the first of it."""
        queued, run = self._queued.get(self._current), self._run
        if queued is None or run is None or not (final or run.place is not None):
            return
        while queued and queued[0].end - queued[0].duration // 2 <= heard:
            packet = queued.popleft()
            into = packet.end - packet.duration - run.begin
            if run.place is None:
                run.place = max(self._line.at(run.at_s), self._sink.end - into)
            self._sink.place(run.place + into, packet.duration, packet.payload, bridge=False)
