"""Speech that brings its words: what a synthesiser gives, and when each word of an utterance ends.

Where no word ends are known, they are estimated from the words' letters over the part that sounds, and marked so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from numpy.typing import NDArray

_SOUNDS = 0.01
"""Of full scale: what is quieter at the ends of a piece is its pause."""


class Word(NamedTuple):
    """A word of an utterance."""

    text: str
    end: float
    """Seconds from the utterance's first sample to the word's last."""
    exact: bool
    """Whether the synthesiser told its end; else it was estimated."""


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """A piece of speech, such as a sentence, with its words."""

    pcm: NDArray[Any]
    """Mono, shape (samples,): int16, or float between -1 and 1."""
    rate: int
    """Samples a second; the same for all pieces of an utterance."""
    text: str
    """What is said in it. Its words are what stands between white space."""
    word_ends: tuple[float, ...] | None = None
    """When each word ends, in seconds from the first sample; None where that is not known."""

    def words(self, began: float) -> Iterator[Word]:
        """Its words, where the piece began so many seconds behind the utterance's first sample."""
        texts = self.text.split()
        if self.word_ends is None:
            ends, exact = self._estimated_ends(texts), False
        elif len(self.word_ends) == len(texts):
            ends, exact = list(self.word_ends), True
        else:
            raise ValueError(f"speech of {len(texts)} words has {len(self.word_ends)} word ends: one for each, or None")
        length = len(self.pcm) / self.rate
        yield from (Word(text, began + min(end, length), exact) for text, end in zip(texts, ends, strict=True))

    def _estimated_ends(self, texts: list[str]) -> list[float]:
        first, last = sounding(self.pcm)
        letters = np.cumsum([len(text) + 1 for text in texts])
        return [(first + (last - first) * float(share)) / self.rate for share in letters / letters[-1:]]


class Voice(Protocol):
    """Says text: what `session.voice` takes."""

    def speak(self, text: str, /) -> AsyncIterator[Speech]:
        """Speech of a text, piece after piece, as soon as each is made."""
        ...


def sounding(pcm: NDArray[Any]) -> tuple[int, int]:
    """The samples of a piece between its pauses: first, and one behind the last; all of it where nothing sounds."""
    scale = 1.0 if np.issubdtype(pcm.dtype, np.floating) else 32768.0
    loud = np.flatnonzero(np.abs(pcm.astype(np.float32)) > _SOUNDS * scale)
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(pcm))
