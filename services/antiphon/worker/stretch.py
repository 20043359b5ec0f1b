"""A caller's frames of the last moments, put in order, and what of them is missing: where turns are cut out of."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from antiphon.frames import CLOCK_RATE, Frame, Gap
from antiphon.worker import metrics
from antiphon.worker.ingest import Conceal, PcmAssembler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from antiphon.opus import Pcm

_PRE_ROLL = CLOCK_RATE // 5
_POST_ROLL = CLOCK_RATE // 5
_SLACK_S = 0.1
_KEEP_FRAMES = 4096
_MOST_MISSING = 512


class Stretch(NamedTuple):
    """A turn's audio, with a little before and behind it. Times in seconds since the caller's first frame."""

    frames: tuple[Frame, ...]
    started_s: float
    ended_s: float

    def pcm(self, rate: int = 16_000, conceal: Conceal = "silence") -> Pcm:
        """Decodes it: mono int16, shape (samples,)."""
        assembler = PcmAssembler(rate, conceal)
        return np.concatenate([np.zeros(0, np.int16), *(assembler.push(frame) for frame in self.frames)])


class Reel:
    """What was heard lately. Seconds are of session time: since the caller's first frame."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._missing: dict[int, None] = {}
        """Sequences of frames that may still come, oldest first."""
        self._origin: int | None = None

    @property
    def begun(self) -> bool:
        """Whether a frame has come."""
        return self._origin is not None

    def keep(self, frame: Frame) -> None:
        """A frame came, in order or as a repair. A copy is dropped."""
        if self._origin is None:
            self._origin = frame.timestamp
        self._missing.pop(frame.sequence, None)
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

    def miss(self, gap: Gap) -> None:
        """Frames are missing; or lost, and need not be waited for any more."""
        for sequence in range(gap.first, gap.first + min(gap.missing, _MOST_MISSING)):
            if gap.lost:
                self._missing.pop(sequence, None)
            else:
                self._missing[sequence] = None
        while len(self._missing) > _MOST_MISSING:
            self._missing.pop(next(iter(self._missing)))

    def seconds(self, tick: int) -> float:
        return (tick - (self._origin or 0)) / CLOCK_RATE

    def tick(self, seconds: float) -> int:
        return (self._origin or 0) + round(seconds * CLOCK_RATE)

    def missing(self, started_s: float, ended_s: float) -> int:
        """How many frames of a turn may still come."""
        if not self._missing:
            return 0
        frames = tuple(self._between(started_s, ended_s))
        return sum(frames[0].sequence < one < frames[-1].sequence for one in self._missing) if frames else 0

    def cut_out(self, started_s: float, ended_s: float) -> Stretch:
        return Stretch(tuple(self._between(started_s, ended_s)), started_s, ended_s)

    def needed(self, since_s: float) -> int:
        """The tick of the first frame of a turn that begins then, with a little before it."""
        return self.tick(since_s - _SLACK_S) - _PRE_ROLL

    def forget(self, before_s: float) -> None:
        """No turn that begins earlier will be asked for."""
        oldest = self.needed(before_s)
        while self._frames and self._frames[0].timestamp < oldest:
            self._frames.popleft()

    def _between(self, started_s: float, ended_s: float) -> Iterator[Frame]:
        first, last = self.tick(started_s) - _PRE_ROLL, self.tick(ended_s) + _POST_ROLL
        return (frame for frame in self._frames if first < frame.timestamp + frame.duration and frame.timestamp < last)


def arrival_us(frames: Sequence[Frame], tick: int) -> int | None:
    """When the frame of a moment came to the edge, or where it is missing the next; None where none did."""
    for frame in reversed(frames):
        if frame.timestamp < tick <= frame.timestamp + frame.duration:
            return frame.arrival_us
        if frame.timestamp + frame.duration < tick:
            break
    return next((frame.arrival_us for frame in frames if frame.timestamp >= tick), None)
