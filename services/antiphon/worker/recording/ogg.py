"""One track as a file: Opus packets in Ogg pages (RFC 7845), as they came.

Pages leave no holes in time, so a pause without packets is filled with some that stand for it: those that ask the
decoder to bridge it as it would in the call, or silence.
"""

from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from antiphon.frames import CLOCK_RATE
from antiphon.opus import frame_duration

if TYPE_CHECKING:
    from pathlib import Path

_GRID = 120
"""2.5 ms, the shortest packet of Opus: places are met to half of it."""
_SILENT = {960: b"\xf8\xff\xfe", 480: b"\xf0\xff\xfe", 240: b"\xe8\xff\xfe", 120: b"\xe0\xff\xfe"}
"""Packets of digital silence by their duration in 48 kHz samples."""
_LONGEST_BRIDGE = CLOCK_RATE
_PAGE_US = 1_000_000


class OggTrack:
    """Blocks: for a thread. Places are in 48 kHz samples from the file's begin. Raises OSError."""

    def __init__(self, path: Path) -> None:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        options = {"page_duration": str(_PAGE_US), "flush_packets": "1"}
        self._file = av.open(str(path), "w", format="ogg", options=options)
        # The encoder writes the header alone: packets pass as they are. Its delay, 312 samples, is what readers skip.
        self._stream = self._file.add_stream("libopus", rate=CLOCK_RATE, layout="mono")
        self._last: bytes | None = None
        self._bridged_from = 0
        self.end = 0
        """Where the next packet would be."""
        self.size = 0
        """Of all packets so far."""

    def place(self, at: int, duration: int, payload: bytes, *, bridge: bool) -> bool:
        """Writes a packet at its place. False where that is taken. `bridge` says how a gap before it is filled."""
        if at < self.end - duration // 2:
            return False
        self._fill(at - self.end, bridge=bridge)
        self._write(payload, duration)
        self._last, self._bridged_from = payload, self.end
        return True

    def pad(self, until: int, *, bridge: bool) -> None:
        """Fills up to a place where nothing will be, in whole packets of 20 ms."""
        while until - self.end >= 960:
            self._fill(960, bridge=bridge)

    def close(self) -> None:
        self._file.close()

    def _fill(self, gap: int, *, bridge: bool) -> None:
        if bridge and self._last is not None:
            step = frame_duration(self._last)
            ask = bytes([self._last[0] & 0xFC])  # its TOC without a frame: conceal, or go on with comfort noise
            while gap >= step and self.end - self._bridged_from < _LONGEST_BRIDGE:
                self._write(ask, step)
                gap -= step
        for duration, packet in _SILENT.items():
            while gap >= duration - (_GRID // 2 if duration == _GRID else 0):
                self._write(packet, duration)
                gap -= duration

    def _write(self, payload: bytes, duration: int) -> None:
        packet = av.Packet(payload)
        packet.stream = self._stream
        packet.pts = packet.dts = self.end
        packet.duration = duration
        packet.time_base = Fraction(1, CLOCK_RATE)
        self._file.mux(packet)
        self.end += duration
        self.size += len(payload)
