"""Whether what was heard is what was said: by the loudness of frequency bands, piece by piece.

Pieces may be moved against each other, as a jitter buffer moves them; an envelope alone is alike by chance too often
where a sentence is said again and again.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from tests.support import speech

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16000
SENTENCE = "One voice calls, and another answers."
OTHER = "Twelve boats went out before the morning fog had lifted."
"""Not said: what is heard is like the sentence, and less like this."""
LIKE, MARGIN = 0.6, 0.1
_STEP, _WINDOW, _BANDS = RATE // 50, 512, 16
_PIECE = 40
"""Steps: 0.8 s."""


def likeness(said: NDArray[np.int16], came: NDArray[np.int16]) -> float:
    """Both at RATE; the mean over the pieces of the best correlation with any stretch: 1 for the same."""
    wanted, found = _bands(said), _bands(came)
    if len(found) <= _PIECE:
        return 0.0
    stretches = np.lib.stride_tricks.sliding_window_view(found, _PIECE, axis=0).transpose(0, 2, 1)
    flat = _normal(stretches.reshape(len(stretches), -1))
    pieces = [wanted[at : at + _PIECE].reshape(1, -1) for at in range(0, len(wanted) - _PIECE + 1, _PIECE)]
    return float(np.mean([(flat @ _normal(piece).T).max() for piece in pieces]))


def verdict(came: NDArray[np.int16]) -> tuple[str, bool]:
    """In words, and whether it was the sentence."""
    said, other = (likeness(speech.say(text, RATE), came) for text in (SENTENCE, OTHER))
    return f"likeness {said:.2f}, of another sentence {other:.2f}", said > max(LIKE, other + MARGIN)


def _bands(pcm: NDArray[np.int16]) -> NDArray[np.float64]:
    """Logarithm of the energy in each band each 20 ms, speech from 100 to 4,000 Hz: shape (steps, bands)."""
    if len(pcm) < _WINDOW:
        return np.zeros((0, _BANDS))
    windows = np.lib.stride_tricks.sliding_window_view(pcm.astype(np.float64), _WINDOW)[::_STEP]
    energy = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW), axis=1)) ** 2
    edges = np.unique(np.geomspace(100, 4000, _BANDS + 1) * _WINDOW / RATE).astype(int)
    bands = np.stack([energy[:, low:high].mean(axis=1) for low, high in itertools.pairwise(edges)], axis=1)
    logarithm: NDArray[np.float64] = np.log10(bands + 1e4)
    return logarithm


def _normal(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row with mean 0 and length 1; rows without any variation are 0."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    normal: NDArray[np.float64] = np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9)
    return normal
