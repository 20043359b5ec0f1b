"""The benchmark of turn-taking counts what it says it counts."""

import numpy as np
import pytest
from loadtest.measuring.intervals import wilson
from loadtest.turns.__main__ import table
from loadtest.turns.clips import Clip, clips
from loadtest.turns.judging import Ears, Heard, Outcome, judge

from antiphon.turns import TurnPolicy

WINDOW_S = 0.032


def heard(*parts: tuple[float, float]) -> Heard:
    """(seconds, probability) one after the other, and four seconds of silence."""
    voice = [p for seconds, p in (*parts, (4.0, 0.0)) for _ in range(round(seconds / WINDOW_S))]
    last = max(index for index, p in enumerate(voice) if p >= 0.5)
    return Heard(Clip("made", np.zeros(0, np.int16)), voice, (last + 1) * WINDOW_S, len(parts) // 2)


@pytest.fixture(scope="module")
def ears() -> Ears:
    return Ears()


def test_a_pause_that_is_longer_than_the_silence_is_a_cut_off(ears: Ears) -> None:
    turns = [heard((1.0, 0.9), (0.5, 0.0), (1.0, 0.9)), heard((1.0, 0.9))]
    short = judge(TurnPolicy(silence_s=0.3, least_scale=1, most_scale=1), ears, turns, asks=False)
    long = judge(TurnPolicy(silence_s=0.8, least_scale=1, most_scale=1), ears, turns, asks=False)
    assert (short.pauses, short.cut_off) == (1, 1)
    assert (long.pauses, long.cut_off) == (1, 0)
    assert short.median_s == pytest.approx(0.3, abs=WINDOW_S)
    assert long.median_s == pytest.approx(0.8, abs=WINDOW_S)


def test_speech_has_its_end_and_pauses_where_they_are(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTIPHON_AUDIO", raising=False)
    made, recorded = clips()
    assert not recorded
    one = ears.hear(made[0])
    assert abs(one.ended_s - (len(made[0].audio) / 16_000 - 4.0)) < 0.5
    assert 0 <= ears.ends(one, one.ended_s + 0.2) <= 1
    assert len(one.answers) == 1


def test_intervals_are_wilson_s() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-3)
    low, high = wilson(0, 30)
    assert low == 0
    assert 0.1 < high < 0.13


def test_the_verdict_compares_with_a_silence_of_700_ms() -> None:
    slow, quick = Outcome(10, 3, [0.7, 0.7]), Outcome(10, 3, [0.4, 0.4])
    outcomes = {"silence of 0.7 s": slow, "low": slow, "medium": quick, "high": Outcome(10, 9, [0.1]), "auto": slow}
    assert "57% of its median delay\n(target: at most 60%, met)" in table(outcomes, 2, recorded=True)
