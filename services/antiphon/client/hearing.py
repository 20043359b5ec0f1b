"""The caller's ear: keeps the Opus packets that arrive, by their RTP time, and decodes them without a jitter buffer.

A recording shows each packet where its timestamp puts it, late ones included, and silence where nothing came.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np

from antiphon.client.audio import FRAME, RATE, level_dbfs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

AUDIBLE_DBFS = -50.0
"""Quieter frames count as silence."""
_PAUSE = 0.3
"""Seconds of silence that end a stretch."""
_MOST_PACKETS = 200_000
"""About an hour."""


@dataclass
class Stretch:
    """A time in which something was audible, in seconds since the call began."""

    begin: float
    end: float


class Hearing:
    """All that was heard since `origin`, the moment that the call began on `clock`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._decoder = _Decoder()
        self._packets: dict[int, bytes] = {}
        self._ssrc: int | None = None
        self._shift = 0  # from unwrapped RTP time to samples since the origin
        self._last_timestamp = 0
        self.origin = clock()
        self.first_at: float | None = None
        self.last_audible_at: float | None = None
        self.stretches: list[Stretch] = []
        self.duplicates = 0
        self.overflow = 0
        self.broken = 0

    def begin(self) -> None:
        """The call begins now: nothing heard so far counts."""
        self.origin = self._clock()

    def packet(self, ssrc: int, timestamp: int, payload: bytes) -> int:
        """Takes one RTP packet's payload as it arrives. Returns how many samples of it are new."""
        if not payload:
            return 0
        now = self._clock() - self.origin
        at = self._place(ssrc, timestamp, now)
        if at in self._packets:
            self.duplicates += 1
            return 0
        if len(self._packets) >= _MOST_PACKETS:
            self.overflow += 1
            return 0
        self._packets[at] = payload
        if self.first_at is None:
            self.first_at = now
        pcm = self._decoder.decode(payload)
        if pcm is None:
            self.broken += 1
            return 0
        if level_dbfs(pcm) > AUDIBLE_DBFS:
            self._audible(at / RATE, len(pcm) / RATE, now)
        return len(pcm)

    def pcm(self) -> NDArray[np.int16]:
        """Decodes everything in the order of its time: shape (samples,) at 48 kHz, from the origin on."""
        decoder = _Decoder()
        pieces: list[tuple[int, NDArray[np.int16]]] = []
        for at in sorted(self._packets):
            decoded = decoder.decode(self._packets[at])
            if decoded is not None:
                pieces.append((max(0, at), decoded))
        out = np.zeros(max((at + len(pcm) for at, pcm in pieces), default=0), np.int16)
        for at, pcm in pieces:
            out[at : at + len(pcm)] = pcm
        return out

    def _place(self, ssrc: int, timestamp: int, now: float) -> int:
        """Unwraps a timestamp and returns samples since the origin. A new SSRC is placed by its arrival."""
        if ssrc != self._ssrc:
            self._ssrc = ssrc
            self._last_timestamp = timestamp
            self._shift = round(now * RATE) - timestamp
        else:
            step = (timestamp - self._last_timestamp + (1 << 31)) % (1 << 32) - (1 << 31)
            self._last_timestamp += step
        return self._last_timestamp + self._shift

    def _audible(self, at: float, length: float, now: float) -> None:
        self.last_audible_at = now
        last = self.stretches[-1] if self.stretches else None
        if last is not None and at <= last.end + _PAUSE:
            last.end = max(last.end, at + length)
        else:
            self.stretches.append(Stretch(at, at + length))


def audible_seconds(pcm: NDArray[np.int16]) -> float:
    """Seconds until the last audible frame of shape (samples,) at 48 kHz ends; 0 for silence."""
    ends = [at + FRAME for at in range(0, len(pcm), FRAME) if level_dbfs(pcm[at : at + FRAME]) > AUDIBLE_DBFS]
    return min(ends[-1], len(pcm)) / RATE if ends else 0.0


class _Decoder:
    """libopus through PyAV."""

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("libopus", "r")
        self._codec.format = "s16"
        self._codec.layout = "mono"
        self._codec.sample_rate = RATE

    def decode(self, payload: bytes) -> NDArray[np.int16] | None:
        """Returns shape (samples,), or None for a packet that is not Opus."""
        try:
            pieces = [frame.to_ndarray().reshape(-1) for frame in self._codec.decode(av.Packet(payload))]
        except (OSError, ValueError):  # PyAV's errors are among them
            return None
        return np.concatenate(pieces).astype(np.int16) if pieces else np.zeros(0, np.int16)
