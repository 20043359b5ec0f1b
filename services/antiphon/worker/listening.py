"""Finds a caller's turns: keeps their frames, has them judged for voice, and gives each turn's frames when it ended.

When frames of a turn that ended are missing and may still come, it is handed over once they came, or are lost, or about
a round trip has passed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from antiphon.frames import CLOCK_RATE, Frame, Gap
from antiphon.turns.detector import TurnDetector, TurnEnded, TurnPolicy, TurnStarted
from antiphon.worker import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.turns.voice import VoiceDetector

_PRE_ROLL = CLOCK_RATE // 5
_POST_ROLL = CLOCK_RATE // 5
_KEEP_FRAMES = 4096
_STALL_S = 0.15
_CHECK_S = 0.1
_MOST_MISSING = 512
_USUAL_RTT_S = 0.1
_GAP_MARGIN_S = 0.02


class Stretch(NamedTuple):
    """A turn's audio, with a little before and behind it. Times in seconds since the caller's first frame."""

    frames: tuple[Frame, ...]
    started_s: float
    ended_s: float


def gap_wait_s(policy: TurnPolicy, rtt_s: float | None) -> float:
    """For how long missing frames are waited for: a round trip and a little, within the policy's bound."""
    return min(policy.gap_wait_s, (_USUAL_RTT_S if rtt_s is None else rtt_s) + _GAP_MARGIN_S)


class Listener:
    """Listens to one caller. `started(at_s)` and `ended(stretch)` are called on the event loop.

    `doubt(True)` says that a turn may be about to start; `doubt(False)` follows, after `started` where it did.
    """

    def __init__(
        self,
        voice: VoiceDetector,
        detector: TurnDetector,
        started: Callable[[float], None],
        ended: Callable[[Stretch], None],
        doubt: Callable[[bool], None] = lambda _: None,
        wait_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._detector = detector
        self._started = started
        self._ended = ended
        self._doubt = doubt
        self._wait_s = wait_s
        self._missing: dict[int, None] = {}
        """Sequences of frames that may still come, oldest first."""
        self._waiting: tuple[TurnEnded, asyncio.TimerHandle] | None = None
        """A turn that ended with frames missing, until they came."""
        self._frames: deque[Frame] = deque()
        self._stream = voice.open(self._judged)
        self._origin: int | None = None
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def hear(self, frame: Frame) -> None:
        if self._origin is None:
            self._origin = frame.timestamp
        self._heard_at = asyncio.get_running_loop().time()
        self._keep(frame)
        self._missing.pop(frame.sequence, None)
        self._stream.push(frame)
        self._hand_over_if_whole("repaired")

    def miss(self, gap: Gap) -> None:
        for sequence in range(gap.first, gap.first + min(gap.missing, _MOST_MISSING)):
            if gap.lost:
                self._missing.pop(sequence, None)
            else:
                self._missing[sequence] = None
        while len(self._missing) > _MOST_MISSING:
            self._missing.pop(next(iter(self._missing)))
        self._hand_over_if_whole("lost")

    @property
    def talking(self) -> bool:
        """Whether a turn has begun and is not over."""
        return self._detector.open and not self._detector.in_doubt

    @property
    def in_doubt(self) -> bool:
        """Whether a turn may be about to start."""
        return self._detector.in_doubt

    def expect_voice(self, expected: bool) -> None:  # noqa: FBT001 - as the edge tells it
        """The edge's ear says that the caller speaks, or has stopped: cheap evidence, so the model need not be sure."""
        self._detector.expected = expected

    def close(self) -> None:
        self._stream.close()
        if self._waiting is not None:
            self._waiting[1].cancel()
            self._waiting = None
        if self._timer is not None:
            self._timer.cancel()

    def _keep(self, frame: Frame) -> None:
        frames = self._frames
        if not frames or frame.sequence > frames[-1].sequence:
            frames.append(frame)
        else:
            at = len(frames)
            while at and frames[at - 1].sequence > frame.sequence:
                at -= 1
            if at and frames[at - 1].sequence == frame.sequence:
                return
            frames.insert(at, frame)
        if len(frames) > _KEEP_FRAMES:
            frames.popleft()
            metrics.dropped("frame", "turn_too_long")

    def _seconds(self, tick: int) -> float:
        return (tick - (self._origin or 0)) / CLOCK_RATE

    def _judged(self, start: int, end: int, probability: float) -> None:
        self._advance(self._seconds(start), self._seconds(end), probability)

    def _advance(self, start_s: float, end_s: float, probability: float) -> None:
        in_doubt = self._detector.in_doubt
        event = self._detector.hear(start_s, end_s, probability)
        if isinstance(event, TurnStarted):
            self._hand_over("next_turn")
            self._started(event.at_s)
        elif isinstance(event, TurnEnded):
            self._end(event)
        if self._detector.in_doubt != in_doubt:
            self._doubt(not in_doubt)
        if not self._detector.open:
            if self._waiting is None:
                self._forget(end_s)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_CHECK_S, self._check_stall)

    def _end(self, turn: TurnEnded) -> None:
        wait_s = self._wait_s()
        if wait_s <= 0 or not self._lacks(turn):
            self._ended(self._cut_out(turn))
            return
        timer = asyncio.get_running_loop().call_later(wait_s, self._hand_over, "timeout")
        self._waiting = (turn, timer)

    def _lacks(self, turn: TurnEnded) -> bool:
        """Whether frames between those of the turn may still come."""
        frames = self._cut_out(turn).frames
        return bool(frames) and any(frames[0].sequence < one < frames[-1].sequence for one in self._missing)

    def _hand_over_if_whole(self, outcome: str) -> None:
        if self._waiting is not None and not self._lacks(self._waiting[0]):
            self._hand_over(outcome)

    def _hand_over(self, outcome: str) -> None:
        if self._waiting is not None:
            turn, timer = self._waiting
            timer.cancel()
            self._waiting = None
            metrics.GAP_WAITS.labels(outcome).inc()
            self._ended(self._cut_out(turn))

    def _check_stall(self) -> None:
        """When a turn is open but no frames come (DTX, muted, lost), time itself is the silence."""
        self._timer = None
        if not self._detector.open:
            return
        loop = asyncio.get_running_loop()
        stalled_s = loop.time() - self._heard_at - _STALL_S
        now_s = self._detector.now_s
        if stalled_s > 0:
            self._advance(now_s, now_s + min(stalled_s, _CHECK_S), 0.0)
        if self._detector.open and self._timer is None:
            self._timer = loop.call_later(_CHECK_S, self._check_stall)

    def _tick(self, seconds: float) -> int:
        return (self._origin or 0) + round(seconds * CLOCK_RATE)

    def _cut_out(self, turn: TurnEnded) -> Stretch:
        first, last = self._tick(turn.started_s) - _PRE_ROLL, self._tick(turn.ended_s) + _POST_ROLL
        frames = tuple(
            frame for frame in self._frames if first < frame.timestamp + frame.duration and frame.timestamp < last
        )
        return Stretch(frames, turn.started_s, turn.ended_s)

    def _forget(self, now_s: float) -> None:
        oldest = self._tick(now_s) - _PRE_ROLL - CLOCK_RATE // 10
        while self._frames and self._frames[0].timestamp < oldest:
            self._frames.popleft()
