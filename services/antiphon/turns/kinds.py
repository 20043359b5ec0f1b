"""What a sound over the agent's voice is, told by its first quarter of a second: words, a word of assent, or a noise.

A network of two layers over mel bands, in numpy: it costs a fraction of a millisecond, so that every session has it.
Its weights (`kinds.npz`) are made by `python -m loadtest.kinds.train`; docs/turn-taking.md tells of what, and how
well it does on voices that it was not made of. Where it is not sure it says nothing.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from antiphon.turns.voice import Kind

if TYPE_CHECKING:
    from antiphon.opus import Pcm

Floats = NDArray[np.float64]

RATE = 16_000
LEAD = RATE // 25
"""Samples before the sound that the model hears, too."""
LOOKS_MS = (280, 520)
"""It looks twice: at so much of a sound."""
KINDS = (Kind.SPEECH, Kind.BACKCHANNEL, Kind.NOISE)
_WEIGHTS = Path(__file__).with_name("kinds.npz")
_BANDS, _HOP, _WINDOW, _FFT = 24, 160, 400, 512
_LOWEST_HZ, _HIGHEST_HZ = 80.0, 7000.0
_POOLED = 4
_LOUDNESS = 0.07
_SURE = {Kind.SPEECH: 0.5, Kind.BACKCHANNEL: 0.6, Kind.NOISE: 0.85}
"""Below these nothing is said: what is taken for a noise is not answered, so that has to be surest."""
FIRST_LOOK, LAST_LOOK = (look_ms * RATE // 1000 for look_ms in LOOKS_MS)
"""Samples of a sound: with fewer than the first nothing can be said of it."""


class KindModel:
    """Shared by all callers; reads its weights once."""

    def __init__(self, weights: Path = _WEIGHTS) -> None:
        stored = np.load(weights)
        self._looks = [
            (look_ms, tuple(stored[f"{look_ms}/{name}"].astype(np.float64) for name in ("mean", "scale", *_LAYERS)))
            for look_ms in LOOKS_MS
        ]

    def judge(self, audio: Pcm) -> Kind | None:
        """Audio: 16 kHz, `LEAD` samples of what was before the sound, then the sound up to now. None: not sure."""
        probabilities = self.probabilities(audio)
        if probabilities is None:
            return None
        best = int(probabilities.argmax())
        return KINDS[best] if probabilities[best] >= _SURE[KINDS[best]] else None

    def probabilities(self, audio: Pcm) -> Floats | None:
        """Of each of KINDS, from the later look that there is enough audio for; None before the first."""
        for look_ms, (mean, scale, *layers) in reversed(self._looks):
            if len(audio) >= LEAD + look_ms * RATE // 1000:
                return forward((features(audio, look_ms) - mean) / scale, layers)
        return None


_LAYERS = ("hidden", "hidden_bias", "output", "output_bias")


def forward(inputs: Floats, layers: list[Floats]) -> Floats:
    """Features (..., n) in, probabilities (..., 3) out."""
    hidden, hidden_bias, output, output_bias = layers
    odds = np.maximum(inputs @ hidden + hidden_bias, 0.0) @ output + output_bias
    odds = np.exp(odds - odds.max(axis=-1, keepdims=True))
    probabilities: Floats = odds / odds.sum(axis=-1, keepdims=True)
    return probabilities


def features(audio: Pcm, look_ms: int) -> Floats:
    """The sound's shape in time and frequency, whatever its loudness: log power of 24 mel bands each 40 ms."""
    sound = audio[: LEAD + look_ms * RATE // 1000].astype(np.float64) / 32768
    sound *= _LOUDNESS / (np.sqrt(np.mean(sound**2)) + 1e-4)
    frames = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW)[::_HOP] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames, _FFT)) ** 2
    log = np.log10(power @ _mel() + 1e-7)
    pooled = log[: len(log) // _POOLED * _POOLED].reshape(-1, _POOLED, _BANDS).mean(axis=1)
    mean = pooled.mean()
    return np.append(pooled.ravel() - mean, mean)


@cache
def _mel() -> Floats:
    """Triangles of height 1 on the mel scale: shape (257, 24)."""
    mels = 2595 * np.log10(1 + np.fft.rfftfreq(_FFT, 1 / RATE) / 700)[:, None]
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (_LOWEST_HZ, _HIGHEST_HZ))
    edges = np.linspace(low, high, _BANDS + 2)
    rising = (mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels) / (edges[2:] - edges[1:-1])
    bank: Floats = np.clip(np.minimum(rising, falling), 0.0, None)
    return bank
