"""What a caller sends, handed to whoever listens: bounded queues of frames, with gaps visible, and PCM on request."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from antiphon.frames import CLOCK_RATE, Frame, Gap
from antiphon.opus import Decoder, OpusError
from antiphon.worker import metrics

if TYPE_CHECKING:
    from antiphon.opus import Pcm

T = TypeVar("T")

QUEUE_FRAMES = 500
"""Ten seconds: an agent that is further behind loses the oldest."""
_LONGEST_CONCEALMENT = 5 * 960
_LONGEST_SILENCE = CLOCK_RATE


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

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Mailbox[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
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
    """Turns frames into an unbroken stream of samples: losses are concealed, pauses of DTX filled with zeros."""

    def __init__(self, rate: int) -> None:
        self._decoder = Decoder(rate)
        self._rate = rate
        self._next: int | None = None

    def push(self, frame: Frame) -> Pcm:
        """Returns the samples up to the frame's end. A frame that comes after its place was filled gives none."""
        if self._next is not None and frame.timestamp < self._next:
            metrics.dropped("frame", "too_late_for_pcm")
            return np.zeros(0, np.int16)
        filling = self._fill(frame)
        try:
            samples = self._decoder.decode(frame.payload)
        except OpusError:
            metrics.dropped("frame", "not_opus")
            samples = np.zeros(self._samples(frame.duration), np.int16)
        self._next = frame.timestamp + frame.duration
        return samples if filling is None else np.concatenate([filling, samples])

    def _samples(self, ticks: int) -> int:
        return ticks * self._rate // CLOCK_RATE

    def _fill(self, frame: Frame) -> Pcm | None:
        missing = 0 if self._next is None else frame.timestamp - self._next
        if missing <= 0:
            return None
        if missing <= _LONGEST_CONCEALMENT:
            blind = missing - frame.duration
            pieces = [self._decoder.conceal(self._samples(blind))] if blind > 0 else []
            pieces.append(self._decoder.conceal(self._samples(min(missing, frame.duration)), frame.payload))
            return np.concatenate(pieces)
        return np.zeros(self._samples(min(missing, _LONGEST_SILENCE)), np.int16)
