"""The caller's microphone: a track that sends what it is given, at the pace of life, and silence in between."""

from __future__ import annotations

import asyncio
import fractions
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np
from aiortc import MediaStreamTrack

from antiphon.client.audio import FRAME, RATE
from antiphon.client.errors import CallEndedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from numpy.typing import NDArray

_STEP = FRAME / RATE


@dataclass
class _Piece:
    pcm: NDArray[np.int16]
    sent: int
    done: asyncio.Future[tuple[float, float]]
    began: float = 0.0


class Speaking(MediaStreamTrack):
    """An audio track of 20 ms frames, 48 kHz, mono. Times are of the given clock, in seconds."""

    kind = "audio"

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._sleep = sleep
        self._pieces: deque[_Piece] = deque()
        self._frames = 0
        self._began: float | None = None
        self._over: str | None = None

    async def play(self, pcm: NDArray[np.int16]) -> tuple[float, float]:
        """Queues shape (samples,) and returns when it was sent: (begin, end). Raises CallEndedError if it never is."""
        if self._over is not None:
            raise CallEndedError(self._over)
        if not len(pcm):
            now = self._clock()
            return (now, now)
        done: asyncio.Future[tuple[float, float]] = asyncio.get_running_loop().create_future()
        piece = _Piece(pcm, 0, done)
        self._pieces.append(piece)
        try:
            return await done
        except asyncio.CancelledError:
            if piece in self._pieces:
                self._pieces.remove(piece)
            raise

    def end(self, reason: str) -> None:
        """Fails what was not yet sent."""
        self._over = self._over or reason
        while self._pieces:
            piece = self._pieces.popleft()
            if not piece.done.done():
                piece.done.set_exception(CallEndedError(self._over))

    async def recv(self) -> av.AudioFrame:
        """Gives the next frame when its time has come; called by aiortc."""
        now = self._clock()
        if self._began is None:
            self._began = now
        due = self._began + self._frames * _STEP
        if due > now:
            await self._sleep(due - now)
        frame = av.AudioFrame.from_ndarray(self._next(due).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = self._frames * FRAME
        frame.time_base = fractions.Fraction(1, RATE)
        self._frames += 1
        return frame

    def _next(self, at: float) -> NDArray[np.int16]:
        out = np.zeros(FRAME, np.int16)
        filled = 0
        while self._pieces and filled < FRAME:
            piece = self._pieces[0]
            if piece.sent == 0:
                piece.began = at + filled / RATE
            take = min(FRAME - filled, len(piece.pcm) - piece.sent)
            out[filled : filled + take] = piece.pcm[piece.sent : piece.sent + take]
            piece.sent += take
            filled += take
            if piece.sent == len(piece.pcm):
                self._pieces.popleft()
                if not piece.done.done():
                    piece.done.set_result((piece.began, at + filled / RATE))
        return out
