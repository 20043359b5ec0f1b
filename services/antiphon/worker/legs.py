"""A session's stays at edges: while it moves, what comes of two edges is made one stream, cut by when it was said.

A leg is a session's stay at one edge. The new edge opens the session before the old one is left; with the caller's
first word over the new leg the session is there, and what the old edge still brings counts only up to that word. Where
the old edge is lost the call waits for a new leg, for a grace time.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING

from antiphon.frames import CLOCK_RATE, REPAIR, Frame, Gap, VoiceHint
from antiphon.telemetry import get_logger
from antiphon.worker import metrics
from antiphon.worker.session_clock import SessionClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.worker.call import Call
    from antiphon.worker.quality import Quality
    from antiphon.worker.transport import CallInfo, Transport

_log = get_logger("worker")
_FRAME = CLOCK_RATE // 50
_STRAGGLERS_S = 0.25
"""What was said before the cut comes over the old leg within this, or never."""
_RETURN_REASONS = frozenset({"edge", "moved"})
"""Ends of a leg after which the caller may come back by another edge: its link broke, another edge has the session."""


class Stage(Enum):
    COMING = auto()
    """Opened by a new edge; the caller has not been heard there yet."""
    HERE = auto()
    LEFT = auto()


class Leg:
    """What the link to one edge says of a session. `hear` takes its frames."""

    __slots__ = ("_clock_shift_us", "_first", "_sequence_shift", "_tick_shift", "hear", "info", "legs", "stage", "way")

    def __init__(self, legs: Legs, info: CallInfo, way: Transport, stage: Stage) -> None:
        self.legs = legs
        self.info = info
        self.way = way
        self.stage = stage
        self._first = 0
        """Of the first frame that counts: its sequence in the session's stream."""
        self._sequence_shift = self._tick_shift = self._clock_shift_us = 0
        # While nobody moves, frames go straight to the call: this is the busiest way of a worker.
        self.hear: Callable[[Frame], None] = legs.call.hear if stage is Stage.HERE else self._hear_first

    # what the link tells

    def connected(self) -> None:
        if self.stage is Stage.COMING:
            self.legs.arrived(self)
        elif self.stage is Stage.HERE:
            self.legs.call.connected()

    def noticed(self, hint: VoiceHint) -> None:
        if self.stage is Stage.HERE:
            at_us, timestamp = hint.at_us + self._clock_shift_us, hint.timestamp + self._tick_shift
            self.legs.call.noticed(hint._replace(at_us=at_us, timestamp=timestamp))

    def miss(self, gap: Gap) -> None:
        first = gap.first + self._sequence_shift
        if self.stage is Stage.HERE and first >= self._first:
            self.legs.call.miss(gap._replace(first=first))

    def measured(self, quality: Quality) -> None:
        if self.stage is Stage.HERE:
            self.legs.call.measured(quality)

    def report(
        self,
        number: int,
        sent: int,
        heard: int,
        state: int,
        received: int = 0,
        basis: int = 0,
        underruns: int = 0,
        began_us: int = 0,
        way_us: int = 0,
        to_the_ear_us: int = 0,
    ) -> None:
        speaker = self.legs.call.speaker
        if self.stage is Stage.LEFT:
            speaker.left(number, sent, heard, state)
            return
        began_us = began_us and began_us + self._clock_shift_us
        speaker.report(number, sent, heard, state, received, basis, underruns, began_us, way_us, to_the_ear_us)

    def receive(self, label: str, payload: bytes, *, binary: bool) -> None:
        self.legs.call.receive(label, payload, binary=binary)

    def done(self, timestamp: int) -> None:
        """Frames that begin before this tick of the session's stream are done with."""
        if self.stage is Stage.HERE:
            self.way.done(max(0, timestamp - self._tick_shift))

    def close(self, reason: str) -> None:
        """The session is over at this edge."""
        self.legs.over(self, reason)

    def fail(self, error: BaseException, where: str) -> None:
        self.legs.call.fail(error, where)

    # the stream

    def watch(self) -> None:
        """Another edge has opened the session: from now on it is noted how this one's frames lie in time."""
        if self.hear != self._hear_first:
            self.hear = self._hear_watched

    def shift_clock(self, microseconds: int) -> None:
        """So much is this edge's clock behind the one that the session's arrivals are told on."""
        self._clock_shift_us = microseconds

    def left(self) -> None:
        self.stage = Stage.LEFT
        self.hear = self._drop if self.hear == self._hear_first else self._hear_straggler

    def _hear_watched(self, frame: Frame) -> None:
        shifted = self._shifted(frame)
        if not shifted.repaired:
            self.legs.line.sync(shifted.arrival_us / 1e6, (shifted.timestamp + shifted.duration) / CLOCK_RATE)
        self._deliver(shifted)

    def _hear_first(self, frame: Frame) -> None:
        """Until a frame counts: it may have been said before the cut, and then the old edge has brought it."""
        if self.stage is Stage.COMING:
            self.legs.arrived(self)
        last = self.legs.call.last_frame
        if last is None:  # nothing was heard anywhere yet
            self.hear = self._hear_shifted
            self.legs.cut(0, 0, 0)
            self.hear(frame)
            return
        if not self._tick_shift:
            said_by_s = self.legs.line_at((frame.arrival_us + self._clock_shift_us) / 1e6, last)
            self._tick_shift = round(said_by_s * CLOCK_RATE) - frame.timestamp - frame.duration
        end = last.timestamp + last.duration
        begin = frame.timestamp + self._tick_shift
        if begin < end - _FRAME // 2:
            metrics.dropped("frame", "heard_before_move")
            return
        missing = max(0, round((begin - end) / _FRAME))
        self._first = last.sequence + 1 + missing
        self._sequence_shift = self._first - frame.sequence
        self.hear = self._hear_shifted
        self.legs.cut(self._first, begin, missing)
        self.hear(frame)

    def _hear_shifted(self, frame: Frame) -> None:
        self._deliver(self._shifted(frame))

    def _deliver(self, frame: Frame) -> None:
        if frame.sequence >= self._first:
            self.legs.call.hear(frame)
        else:  # a repair of what the other edge had
            metrics.dropped("frame", "heard_before_move")

    def _hear_straggler(self, frame: Frame) -> None:
        shifted = self._shifted(frame)
        if self.legs.before_cut(shifted):
            self._deliver(shifted._replace(flags=shifted.flags | REPAIR) if self.legs.is_cut else shifted)
        else:
            metrics.dropped("frame", "moved")

    @staticmethod
    def _drop(_: Frame) -> None:
        """Of a leg that was left before a frame of it counted: nobody knows where it belongs."""
        metrics.dropped("frame", "moved")

    def _shifted(self, frame: Frame) -> Frame:
        return Frame(
            frame.sequence + self._sequence_shift,
            frame.timestamp + self._tick_shift,
            frame.arrival_us + self._clock_shift_us,
            frame.duration,
            frame.level,
            frame.flags,
            frame.payload,
        )


class Legs:
    """Of one call: the one that it stands on, and the one that it moves to."""

    def __init__(self, call: Call, way: Transport, grace_s: float) -> None:
        self.call = call
        self.here = Leg(self, call.info, way, Stage.HERE)
        self.coming: Leg | None = None
        self.line = SessionClock()
        self._grace_s = grace_s
        self._lost = False
        self._cut: tuple[int, int] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._grace: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether its edge is lost, and no other has opened it yet."""
        return self._lost and self.coming is None

    @property
    def stands(self) -> bool:
        """Whether its caller is at an edge, and about to be at no other."""
        return not self._lost and self.coming is None

    @property
    def is_cut(self) -> bool:
        return self._cut is not None

    def begin(self, info: CallInfo, way: Transport) -> Leg:
        """Another edge has opened the session; the one before it that did so counts no more."""
        if self.coming is not None:
            self.coming.left()
        self.coming = Leg(self, info, way, Stage.COMING)
        self.line = SessionClock()
        if not self._lost:
            self.here.watch()
        self.call.log.info("session opened at another edge", edge=info.edge, before=self.here.info.edge)
        return self.coming

    def arrived(self, leg: Leg) -> None:
        """The caller's first word over a new leg: the session is there."""
        if leg is not self.coming:
            return
        old, self.here, self.coming = self.here, leg, None
        old.left()
        leg.stage = Stage.HERE
        self._cut = None
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        # Arrivals go on being told on the first edge's clock.
        shift_s = leg.way.worker_s(0.0) - old.way.worker_s(0.0)
        leg.shift_clock(round(shift_s * 1e6))
        leg.way = ShiftedWay(leg.way, shift_s)
        metrics.MOVES.labels("edge_lost" if self._lost else "edge_left").inc()
        self._lost = False
        self.call.log.info("session moved", edge=leg.info.edge, before=old.info.edge)
        self.call.moved(leg.info, leg.way)

    def over(self, leg: Leg, reason: str) -> None:
        """The edge of a leg has let go of the session, or its link broke."""
        if leg is self.coming:
            self.coming = None
            leg.left()
        elif leg is self.here and not self._lost:
            if reason in _RETURN_REASONS and self._grace_s > 0 and self.call.may_come_back:
                self._lost = True
                self.call.log.warning("edge lost; the session waits for its caller", edge=leg.info.edge, reason=reason)
                self.call.lose_edge()
                self._grace = asyncio.get_running_loop().call_later(self._grace_s, self.call.close, reason)
            else:
                self.call.close(reason)

    def close(self, reason: str) -> None:
        """The call is over, and with it the leg that was to come."""
        for timer in self._timers:
            timer.cancel()
        if self._grace is not None:
            self._grace.cancel()
        if self.coming is not None:
            self.coming.way.hang_up(reason, after_playout=False)

    # the cut

    def line_at(self, arrival_s: float, last: Frame) -> float:
        """The session second that frames end at which arrive now, by those that came over the old leg."""
        if not self.line.begun:
            self.line.sync(last.arrival_us / 1e6, (last.timestamp + last.duration) / CLOCK_RATE)
        return self.line.at(arrival_s)

    def cut(self, sequence: int, tick: int, missing: int) -> None:
        """From this frame on the new leg counts; what is missing before it may still come over the old one."""
        self._cut = sequence, tick
        if missing:
            gap = Gap(sequence - missing, missing, lost=False)
            self.call.miss(gap)
            loop = asyncio.get_running_loop()
            self._timers = [loop.call_later(_STRAGGLERS_S, self._give_up, gap)]

    def before_cut(self, frame: Frame) -> bool:
        if self._cut is None:
            return True
        sequence, tick = self._cut
        return frame.sequence < sequence and frame.timestamp + _FRAME // 2 < tick

    def _give_up(self, gap: Gap) -> None:
        if not self.call.closed.is_set():
            self.call.miss(gap._replace(lost=True))


class ShiftedWay:
    """A Transport whose edge's clock is told as that of the session's first edge."""

    def __init__(self, way: Transport, shift_s: float) -> None:
        self._way = way
        self._shift_s = shift_s
        self.play = way.play
        self.hold = way.hold
        self.resume = way.resume
        self.release = way.release
        self.set_policy = way.set_policy
        self.flush = way.flush
        self.send_data = way.send_data
        self.mute = way.mute
        self.hang_up = way.hang_up
        self.done = way.done

    def worker_s(self, edge_s: float) -> float:
        return self._way.worker_s(edge_s - self._shift_s)


class Nowhere:
    """A Transport to no edge: the caller may come back by another one."""

    def play(self, utterance: int, generation: int, duration: int, flags: int, payload: bytes, level: int = 0) -> None:
        del utterance, generation, duration, flags, payload, level
        metrics.dropped("frame", "no_edge")

    def hold(self) -> None: ...

    def resume(self) -> None: ...

    def release(self) -> None: ...

    def set_policy(self, *, hold_on_voice: bool) -> None: ...

    def flush(self, generation: int) -> None: ...

    def send_data(self, label: str, payload: bytes, *, binary: bool) -> None:
        del label, payload, binary
        metrics.dropped("message", "no_edge")

    def mute(self, muted: bool) -> None: ...  # noqa: FBT001

    def hang_up(self, reason: str, *, after_playout: bool) -> None: ...

    def done(self, timestamp: int) -> None: ...

    def worker_s(self, edge_s: float) -> float:
        return edge_s
