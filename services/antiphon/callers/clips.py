"""What callers say, encoded beforehand: any speech, or vowels made by numbers where there is no synthesiser."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from antiphon.frames import CLOCK_RATE
from antiphon.opus import Encoder, pcm_level

if TYPE_CHECKING:
    from numpy.typing import NDArray

Clip = list[tuple[bytes, int]]
"""Opus packets of 20 ms and their levels in -dBov."""

_QUIET_DBOV = 50
_FORMANTS = ((700, 1_200), (300, 2_300), (450, 850), (550, 1_900), (320, 750))
"""First and second formant in Hz of a few vowels."""


def clip_of(pcm: NDArray[np.int16], rate: int) -> Clip:
    """Encodes mono speech, shape (samples,), at a rate that Opus knows, without the silence around it.

    Raises ValueError where there is nothing but silence.
    """
    encoder = Encoder(rate)
    whole = len(pcm) - len(pcm) % encoder.samples
    blocks = [pcm[at : at + encoder.samples] for at in range(0, whole, encoder.samples)]
    levels = [pcm_level(block) for block in blocks]
    loud = [at for at, level in enumerate(levels) if level < _QUIET_DBOV]
    if not loud:
        raise ValueError("there is nothing to hear in it")
    return [(encoder.encode(blocks[at]), levels[at]) for at in range(loud[0], loud[-1] + 1)]


def vowels(seconds: float, seed: int = 0) -> NDArray[np.int16]:
    """Syllables that voice detection takes for speech, shape (samples,) at 48 kHz."""
    random = np.random.default_rng(seed)
    parts: list[NDArray[np.int16]] = []
    while sum(len(part) for part in parts) < seconds * CLOCK_RATE:
        first, second = _FORMANTS[random.integers(len(_FORMANTS))]
        parts.append(_syllable(random.uniform(0.15, 0.25), random.uniform(100, 140), first, second))
    return np.concatenate(parts)[: round(seconds * CLOCK_RATE)]


def _syllable(seconds: float, pitch_hz: float, first_hz: float, second_hz: float) -> NDArray[np.int16]:
    """Harmonics of a pitch that falls a little, louder near the formants, swelling and fading."""
    times = np.arange(round(seconds * CLOCK_RATE)) / CLOCK_RATE
    phase = 2 * np.pi * pitch_hz * (times - 0.3 * times**2 / (2 * seconds))
    sound = np.zeros_like(times)
    for harmonic in range(1, 30):
        hz = harmonic * pitch_hz
        gain = math.exp(-(((hz - first_hz) / 150) ** 2)) + 0.5 * math.exp(-(((hz - second_hz) / 250) ** 2)) + 0.03
        sound += gain * np.sin(harmonic * phase)
    swell = np.sin(np.pi * np.clip(times / seconds, 0, 1)) ** 0.5
    loud: NDArray[np.int16] = (sound / np.abs(sound).max() * swell * 12_000).astype(np.int16)
    return loud
