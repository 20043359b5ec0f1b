"""Where a caller's last sound ends, to 10 ms: a voice detector hears on for some 60 ms behind a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from antiphon.frames import CLOCK_RATE
from antiphon.opus import Decoder, OpusError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiphon.frames import Frame

_RATE = 16_000
_BLOCK = _RATE // 100
_LOOKED_AT = CLOCK_RATE * 6 // 10
_LONGEST_TAIL = CLOCK_RATE * 3 // 10
_DELAY = 312
"""Opus's own, in 48 kHz samples: a decoder gives a sound so much later than its frame's time says."""
_BELOW_LOUDEST = 10 ** (-35 / 20)
_FLOOR = 32768 * 10 ** (-50 / 20)


def last_sound(frames: Sequence[Frame], until: int) -> int:
    """Returns where the last sound ends before `until`, on the frames' time line; `until` where that cannot be told.

    A sound is what is louder than -50 dBFS, and than the loudest near it less 35 dB. Decodes 0.6 s: half a millisecond.
    """
    decoder, loudness, ends = Decoder(_RATE), [], []
    for frame in frames:
        if until - _LOOKED_AT < frame.timestamp + frame.duration and frame.timestamp < until:
            try:
                pcm = decoder.decode(frame.payload).astype(np.float32)
            except OpusError:  # whoever sent it gets no sound for it
                continue
            for block in range(len(pcm) // _BLOCK):
                piece = pcm[block * _BLOCK : (block + 1) * _BLOCK]
                loudness.append(float(np.sqrt(np.mean(np.square(piece)))))
                ends.append(frame.timestamp + (block + 1) * CLOCK_RATE // 100 - _DELAY)
    if not loudness:
        return until
    heard = max(_FLOOR, max(loudness) * _BELOW_LOUDEST)
    last = next((end for end, loud in zip(reversed(ends), reversed(loudness), strict=True) if loud > heard), until)
    return min(until, max(last, until - _LONGEST_TAIL))
