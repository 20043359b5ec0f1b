"""The browser's benchmark: delays between two recordings are those that were put there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from loadtest.browser.delays import delays_ms

from tests.support import speech

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16_000


def recordings(delay_s: float) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    said = np.concatenate([
        piece for word in ("one", "two", "three") for piece in (speech.silence(0.8, RATE), speech.say(word, RATE))
    ])  # fmt: skip
    came = np.concatenate([speech.silence(delay_s, RATE), said // 2])
    return np.append(said, speech.silence(1.0, RATE)), came


@pytest.mark.parametrize("delay_s", [0.0, 0.045, 0.131, 0.6])
def test_each_words_delay_is_found(delay_s: float) -> None:
    found = delays_ms(*recordings(delay_s), RATE)
    assert found == pytest.approx([delay_s * 1000] * 3, abs=2)


def test_what_never_came_has_no_delay() -> None:
    said, came = recordings(0.1)
    noise = np.random.default_rng(1).integers(-300, 300, len(came)).astype(np.int16)
    assert delays_ms(said, noise, RATE) == []
