"""What this caller has played of the agent's voice, as the edge wants it told (proto/antiphon/data/v1, type 1).

The caller's ear keeps packets as they arrive, so a packet is played when it comes. A page tells what its jitter buffer
plays.
"""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

REPORT_S = 0.25
"""Between reports."""
_PLAYOUT_REPORT, _VERSION = 1, 1
_PLAYS = 2
_LAYOUT = struct.Struct(">BBHIIHHHHIII")


class Device:
    """Accounts for packets and writes reports."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ssrc: int | None = None
        self._first = self._highest = 0
        self._timestamp = 0
        self._played_at: float | None = None
        self.received = 0

    @property
    def lost(self) -> int:
        """Packets that did not come."""
        expected = self._highest - self._first + 1 if self.received else 0
        return max(0, expected - self.received)

    def packet(self, ssrc: int, sequence: int, timestamp: int, samples: int) -> None:
        """A packet came and was played: samples of it, 0 where it was known already."""
        if ssrc != self._ssrc:
            self._ssrc, self.received, self._played_at = ssrc, 0, None
            self._first = self._highest = sequence
        ahead = (sequence - self._highest + (1 << 15)) % (1 << 16) - (1 << 15)
        self._highest += max(0, ahead)
        self.received += 1
        if samples and (ahead > 0 or self._played_at is None):
            self._timestamp = (timestamp + samples) % (1 << 32)
            self._played_at = self._clock()

    def report(self) -> bytes:
        now = self._clock()
        age_ms = 0 if self._played_at is None else min(0xFFFF, round(1000 * (now - self._played_at)))
        flags = 0 if self._played_at is None else _PLAYS
        sent_ms = round(1000 * now) % (1 << 32)
        times = (sent_ms, self._timestamp, age_ms, 0, 0, 0)
        return _LAYOUT.pack(_PLAYOUT_REPORT, _VERSION, flags, *times, self.received, self.lost, 0)
