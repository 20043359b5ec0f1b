"""How alike two sounds are, wherever in time the one lies in the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Match:
    """correlation: 1 for the same sound, about 0 for another; at: samples into `where` at which it begins."""

    correlation: float
    at: int


def find(what: NDArray[np.int16], where: NDArray[np.int16]) -> Match:
    """Finds `what` in `where`, both of one rate, by normalised cross-correlation."""
    if len(where) < len(what) or not what.any():
        return Match(0.0, 0)
    pattern, field = what.astype(np.float64), where.astype(np.float64)
    size = 1 << (len(pattern) + len(field) - 1).bit_length()
    spectrum = np.fft.rfft(field, size) * np.conj(np.fft.rfft(pattern, size))
    products = np.fft.irfft(spectrum, size)[: len(field) - len(pattern) + 1]
    energy = np.concatenate([[0.0], np.cumsum(field**2)])
    windows = energy[len(pattern) :] - energy[: len(energy) - len(pattern)]
    loudness = np.sqrt(np.maximum(windows, 1.0) * np.sum(pattern**2))
    scores = products / loudness
    best = int(np.argmax(scores))
    return Match(float(scores[best]), best)


def likeness(what: NDArray[np.int16], where: NDArray[np.int16], *, piece: int = 19_200) -> float:
    """Median correlation of the pieces of `what` (of so many samples, silent ones left out) with their best places.

    A busy machine delays a frame here and there; what follows it is then shifted, which one correlation of the whole
    takes for another sound.
    """
    pieces = [what[start : start + piece] for start in range(0, len(what) - piece + 1, piece)] or [what]
    loudest = max(float(np.abs(one).mean()) for one in pieces)
    loud = [one for one in pieces if float(np.abs(one).mean()) > loudest / 10]
    return float(np.median([find(one, where).correlation for one in loud]))
