"""What the callers say: sentences by espeak where it is installed, else vowels."""

from __future__ import annotations

import functools

from antiphon.callers import Clip, clip_of, vowels

_SENTENCES = (
    "Could you tell me when the next train to Hamburg leaves, please?",
    "I would like to change the address of my order.",
    "That is not quite what I meant, let me explain it once more.",
    "Yes, the second one sounds good to me.",
)
_RATE = 16_000


@functools.cache
def spoken_clips() -> tuple[Clip, ...]:
    """Encoded once for all callers; 2 to 4 s each."""
    try:
        from tests.support.speech import say  # noqa: PLC0415 - espeak may not be there
    except ImportError:
        return tuple(clip_of(vowels(2.5, seed), 48_000) for seed in range(len(_SENTENCES)))
    return tuple(clip_of(say(sentence, _RATE), _RATE) for sentence in _SENTENCES)
