"""How much later what was said comes back, word by word, by two recordings on one clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from antiphon.opus import Pcm

_PAUSE_MS = 300
_SHORTEST_MS = 80
_LONGEST_MS = 1_000
_SOUND = 0.08
"""Of the loudest: what is softer is no word."""
_ALIKE = 0.6
"""Correlation of two envelopes from which on they are the same word."""


def delays_ms(said: Pcm, came: Pcm, rate: int) -> list[float]:
    """Of each word that came back within a second. Both of shape (samples,), begun at the same moment."""
    spoken, returned = _envelope(said, rate), _envelope(came, rate)
    found = [_delay(spoken[begin:end], returned[begin : end + _LONGEST_MS]) for begin, end in _words(spoken)]
    return [float(delay) for delay in found if delay is not None]


def _envelope(pcm: Pcm, rate: int) -> NDArray[np.float64]:
    """Loudness each millisecond, over 10."""
    step = rate // 1000
    frames = pcm[: len(pcm) // step * step].astype(np.float64).reshape(-1, step)
    power: NDArray[np.float64] = np.convolve((frames**2).mean(axis=1), np.full(10, 0.1), "same")
    return np.sqrt(power)


def _words(envelope: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    loud = np.flatnonzero(envelope > _SOUND * envelope.max())
    for stretch in np.split(loud, np.flatnonzero(np.diff(loud) > _PAUSE_MS) + 1):
        if len(stretch) and stretch[-1] - stretch[0] >= _SHORTEST_MS:
            yield int(stretch[0]), int(stretch[-1]) + 1


def _delay(word: NDArray[np.float64], after: NDArray[np.float64]) -> int | None:
    windows = np.lib.stride_tricks.sliding_window_view(after, len(word)) if len(after) >= len(word) else None
    if windows is None:
        return None
    pattern = word - word.mean()
    centred = windows - windows.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(centred, axis=1) * np.linalg.norm(pattern)
    alike = np.divide(centred @ pattern, scale, out=np.zeros(len(windows)), where=scale > 0)
    best = int(alike.argmax())
    return best if alike[best] >= _ALIKE else None
