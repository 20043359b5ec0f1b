"""What a synthesiser's wrapper gives, and the last sample that sounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUIET = 300
"""Of 32768."""


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    pcm: NDArray[np.int16]
    rate: int
    word_ends: list[float] | None
    """When each word between white space ends, in seconds; None where the synthesiser does not tell."""


class Engine(Protocol):
    def speak(self, text: str) -> Utterance: ...


def last_sound(pcm: NDArray[np.int16], first: int, end: int) -> int:
    """One behind the last sample between `first` and `end` that sounds; `end` where none does."""
    loud = np.flatnonzero(np.abs(pcm[first:end].astype(np.int32)) > _QUIET)
    return first + int(loud[-1]) + 1 if len(loud) else end
