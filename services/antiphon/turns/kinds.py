"""What a sound over the agent's voice is, told by its first third of a second: words, a word of assent, or a noise.

Networks of two layers over mel bands and pitch, in numpy: a look costs a fraction of a millisecond, so that every
session has it. Their weights (`kinds.npz`) are made by `python -m loadtest.kinds.train`; docs/turn-taking.md tells of
what, and how well they do on voices that they were not made of.
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
"""Samples before the sound that the models hear, too."""
LOOKS_MS = (180, 240, 300, 520)
"""So much of a sound is looked at, one time after the other, until one look tells."""
LATER = "later"
"""What goes on after the last look is looked at again: the newest of it, as long as in the last look."""
KINDS = (Kind.SPEECH, Kind.BACKCHANNEL, Kind.NOISE)
DECISIVE = 2
"""The look that has to tell: what it does not take for speech goes on unheard."""
SURE = {180: 0.9, 240: 0.85, 300: 0.3, 520: 0.6, LATER: 0.8}
"""From which probability on each look calls a sound speech."""
SURE_OF_NOISE = 0.7
"""What is taken for a noise is no turn, and the edge learns it: what may be either is a back-channel."""
LONGEST = LEAD + LOOKS_MS[-1] * RATE // 1000
"""Samples of the longest look."""

BEGIN = RATE // 10
"""Samples of voice after which its onset is looked for."""

_WEIGHTS = Path(__file__).with_name("kinds.npz")
_LAYERS = ("hidden", "hidden_bias", "output", "output_bias")
_BANDS, _HOP, _WINDOW, _FFT = 24, 160, 400, 512
_LOWEST_HZ, _HIGHEST_HZ = 80.0, 7000.0
_POOLED = {False: 2, True: 4}
"""Frames of 10 ms that make one of what is looked at, in early looks and in later ones."""
_LOUDNESS = 0.07
_HIGHEST_PITCH_HZ, _LOWEST_PITCH_HZ = 400, 70
_PITCH_WINDOW, _PITCH_FFT = 640, 1024

_FRAME = RATE // 100
_SOFTEST_DBOV, _BELOW_PEAK_DB, _ABOVE_FLOOR_DB = -58.0, 32.0, 8.0
_EARLIEST_FRAMES, _FLOOR_FRAMES, _PEAK_FRAMES, _GAP_FRAMES = 14, 10, 12, 2


class KindModel:
    """Shared by all callers; reads its weights once."""

    def __init__(self, weights: Path = _WEIGHTS) -> None:
        stored = np.load(weights)
        self._looks = {
            look: tuple(stored[f"{look}/{name}"].astype(np.float64) for name in ("mean", "scale", *_LAYERS))
            for look in (*LOOKS_MS, LATER)
        }

    def judge(self, audio: Pcm, look: int) -> Kind | None:
        """The answer of a look, counted from 0. None: not sure, look again.

        Audio: 16 kHz, `LEAD` samples of what was before the sound, then `samples(look)` of it.
        """
        name = name_of(look)
        speech, backchannel, noise = self.probabilities(audio, look)
        if speech >= SURE[name]:
            return Kind.SPEECH
        if look < DECISIVE:
            return None
        return Kind.NOISE if noise >= SURE_OF_NOISE and noise > backchannel else Kind.BACKCHANNEL

    def probabilities(self, audio: Pcm, look: int) -> Floats:
        """Of each of KINDS."""
        name = name_of(look)
        mean, scale, *layers = self._looks[name]
        return forward((features(audio, name) - mean) / scale, layers)


def name_of(look: int) -> int | str:
    """Of the looks, counted from 0, that at so many ms, or `LATER`."""
    return LOOKS_MS[look] if look < len(LOOKS_MS) else LATER


def samples(look: int) -> int:
    """How much of a sound a look needs."""
    return LOOKS_MS[min(look, len(LOOKS_MS) - 1)] * RATE // 1000


def forward(inputs: Floats, layers: list[Floats]) -> Floats:
    """Features (..., n) in, probabilities (..., 3) out."""
    hidden, hidden_bias, output, output_bias = layers
    odds = np.maximum(inputs @ hidden + hidden_bias, 0.0) @ output + output_bias
    odds = np.exp(odds - odds.max(axis=-1, keepdims=True))
    probabilities: Floats = odds / odds.sum(axis=-1, keepdims=True)
    return probabilities


def onset(audio: Pcm, voice: int) -> int:
    """Where a sound begins whose voice was found at a sample: what is loud without a gap before it is of it.

    Voice detection finds vowels; that a word began with a hiss is told by its level alone.
    """
    frames = audio[: len(audio) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float64) / 32768
    levels = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-10)
    at = min(max(0, voice // _FRAME), len(levels) - 1)
    earliest = max(0, at - _EARLIEST_FRAMES)
    before = levels[max(0, earliest - _FLOOR_FRAMES) : earliest]
    floor = float(np.median(before)) if len(before) else -100.0
    peak = float(levels[earliest : at + _PEAK_FRAMES].max())
    least = max(_SOFTEST_DBOV, peak - _BELOW_PEAK_DB, floor + _ABOVE_FLOOR_DB)
    loud = levels >= least
    later = np.flatnonzero(loud[at : at + _PEAK_FRAMES])
    if not len(later):
        return voice
    at += int(later[0])
    found, gap = at, 0
    for frame in range(at, earliest - 1, -1):
        gap = 0 if loud[frame] else gap + 1
        if gap > _GAP_FRAMES:
            break
        found = frame if loud[frame] else found
    return found * _FRAME


def features(audio: Pcm, look: int | str) -> Floats:
    """The sound's shape in time and frequency, whatever its loudness: mel bands and the pitch, each 20 or 40 ms."""
    late = look in (LOOKS_MS[-1], LATER)
    length = LOOKS_MS[-1] if late else int(look)
    sound = audio[: LEAD + length * RATE // 1000].astype(np.float64) / 32768
    sound *= _LOUDNESS / (np.sqrt(np.mean(sound**2)) + 1e-4)
    frames = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW)[::_HOP] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames, _FFT)) ** 2
    log = np.log10(power @ _mel() + 1e-7)
    pool = _POOLED[late]
    pooled = log[: len(log) // pool * pool].reshape(-1, pool, _BANDS).mean(axis=1)
    mean = pooled.mean()
    return np.concatenate([(pooled - mean).ravel(), _pitch(sound, pool * _HOP), [mean]])


def _pitch(sound: Floats, hop: int) -> Floats:
    """How periodic the sound is, each `hop` samples: 0 not at all, 1 wholly; and by which pitch, in octaves."""
    windows = np.lib.stride_tricks.sliding_window_view(sound, _PITCH_WINDOW)[::hop]
    power = np.abs(np.fft.rfft(windows - windows.mean(axis=1, keepdims=True), 2 * _PITCH_FFT)) ** 2
    alike = np.fft.irfft(power)[:, : RATE // _LOWEST_PITCH_HZ]
    shortest = RATE // _HIGHEST_PITCH_HZ
    best = alike[:, shortest:].argmax(axis=1) + shortest
    strength = alike[np.arange(len(alike)), best] / (alike[:, 0] + 1e-3)
    octaves = np.log2(RATE / best / 150.0)
    weight = np.clip(strength, 0.0, 1.0) ** 2
    middle = (octaves * weight).sum() / (weight.sum() + 1e-3)
    return np.concatenate([strength, (octaves - middle) * weight, [middle]])


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
