"""What a caller sends, handed to whoever listens: bounded queues of frames, with gaps visible, and PCM on request.

PCM holds what the caller said and nothing else: what is lost is decoded from in-band FEC where that is there, and is
silence where not. Concealment is invented sound, which recognition takes for words: it is made for who asks for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

import numpy as np

from antiphon.frames import CLOCK_RATE, Frame, Gap
from antiphon.opus import Decoder, OpusError, frame_duration
from antiphon.worker import metrics

if TYPE_CHECKING:
    from antiphon.opus import Pcm

T = TypeVar("T")

Conceal = Literal["silence", "omit", "opus"]
"""What stands for audio that is lost: zeros of its length, nothing, or what Opus makes up."""

QUEUE_FRAMES = 500
"""Ten seconds: an agent that is further behind loses the oldest."""
_LONGEST_CONCEALMENT = 5 * 960
_LONGEST_SILENCE = CLOCK_RATE


class Reader(Protocol):
    """Takes one caller's frames, and word of those that are missing."""

    def put(self, frame: Frame, /) -> object: ...
    def put_gap(self, gap: Gap) -> None: ...
    def close(self) -> None: ...


class Mailbox(Generic[T]):
    """An async iterator over a bounded queue with one reader; when full the oldest item is dropped and counted."""

    def __init__(self, what: str, bound: int) -> None:
        self._items: deque[T] = deque()
        self._what = what
        self._bound = bound
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def put(self, item: T) -> T | None:
        """Returns what had to be dropped for it."""
        oldest = None
        if len(self._items) >= self._bound:
            oldest = self._items.popleft()
            metrics.dropped(self._what, "agent_slow")
        self._items.append(item)
        self._wake()
        return oldest

    def close(self) -> None:
        """Ends the iteration once the queue is empty."""
        self._closed = True
        self._wake()

    @property
    def closed(self) -> bool:
        """Whether nothing more comes in."""
        return self._closed

    def __len__(self) -> int:
        return len(self._items)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Mailbox[T]:
        return self

    async def ready(self) -> None:
        """Returns when there is an item, or the end."""
        while not self._items and not self._closed:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def __anext__(self) -> T:
        await self.ready()
        if not self._items:
            raise StopAsyncIteration
        return self._items.popleft()


class FrameQueue(Mailbox[Frame]):
    """Frames of one caller, for a reader who does not ask about gaps."""

    def __init__(self) -> None:
        super().__init__("frame", QUEUE_FRAMES)

    def put_gap(self, gap: Gap) -> None:
        """Frames carry their sequence: this reader sees gaps by that."""


class GapQueue(Mailbox[Frame | Gap]):
    """Frames and gaps of one caller. What the reader was too slow for becomes a gap, too."""

    def __init__(self) -> None:
        super().__init__("frame", QUEUE_FRAMES)
        self._overflow: Gap | None = None

    def put(self, item: Frame | Gap) -> Frame | Gap | None:
        oldest = super().put(item)
        if isinstance(oldest, Frame):
            first, last = oldest.sequence, oldest.sequence
            if self._overflow is not None:  # a repaired frame may lie before what was dropped first
                first = min(first, self._overflow.first)
                last = max(last, self._overflow.first + self._overflow.missing - 1)
            self._overflow = Gap(first, last - first + 1, lost=True)
        return oldest

    def put_gap(self, gap: Gap) -> None:
        self.put(gap)

    async def __anext__(self) -> Frame | Gap:
        if self._overflow is not None:
            overflow, self._overflow = self._overflow, None
            return overflow
        return await super().__anext__()


class PcmAssembler:
    """Turns frames in order into samples. Pauses, in which the caller's encoder sent nothing (DTX), are zeros."""

    def __init__(self, rate: int, conceal: Conceal = "silence") -> None:
        self._decoder = Decoder(rate)
        self._rate = rate
        self._conceal = conceal
        self._before: Frame | None = None

    def push(self, frame: Frame) -> Pcm:
        """Returns the samples up to the frame's end. A frame that comes after its place was filled gives none."""
        before = self._before
        if before is not None and frame.timestamp < before.timestamp + before.duration:
            metrics.dropped("frame", "too_late_for_pcm")
            return np.zeros(0, np.int16)
        pieces = [] if before is None else self._fill(before, frame)
        try:
            pieces.append(self._decoder.decode(frame.payload))
        except OpusError:
            metrics.dropped("frame", "not_opus")
            pieces.append(self._zeros(frame.duration))
        self._before = frame
        return np.concatenate(pieces)

    def _zeros(self, ticks: int) -> Pcm:
        return np.zeros(self._samples(ticks), np.int16)

    def _samples(self, ticks: int) -> int:
        return ticks * self._rate // CLOCK_RATE

    def _fill(self, before: Frame, frame: Frame) -> list[Pcm]:
        missing = frame.timestamp - before.timestamp - before.duration
        if missing <= 0:
            return []
        if frame.sequence == before.sequence + 1:
            return [self._zeros(min(missing, _LONGEST_SILENCE))]
        recovered = fec_ticks(before, frame)
        blind = missing - recovered
        pieces = [self._blind(blind)] if blind else []
        if recovered:
            metrics.MISSING.labels("fec_recovered").inc()
            pieces.append(self._decoder.recover(frame.payload))
        return pieces

    def _blind(self, ticks: int) -> Pcm:
        if self._conceal == "omit":
            return self._zeros(0)
        if self._conceal == "opus" and ticks <= _LONGEST_CONCEALMENT:
            return self._decoder.conceal(self._samples(ticks))
        return self._zeros(min(ticks, _LONGEST_SILENCE))


def fec_ticks(before: Frame, frame: Frame) -> int:
    """How much of what is lost between two frames can be decoded from the later one, in 48 kHz samples."""
    missing = frame.timestamp - before.timestamp - before.duration
    if not frame.fec or frame.sequence <= before.sequence + 1:
        return 0
    ticks = frame_duration(frame.payload)
    return ticks if ticks <= missing else 0
