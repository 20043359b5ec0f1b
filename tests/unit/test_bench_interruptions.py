"""The benchmark of interruptions: what it decides in virtual time, and what it takes from callers and recordings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from loadtest.interruptions import calls, decision
from loadtest.interruptions.__main__ import table
from loadtest.interruptions.decision import decide
from loadtest.interruptions.event import Event
from loadtest.interruptions.sounds import Sound
from loadtest.kinds.noises import events, made_noise
from loadtest.kinds.voices import trimmed

from tests.support.speech import say

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.interruptions.decision import Spoken

SENTENCE = "Could we please talk about the price of this first, before anything else is said?"


@pytest.fixture
def noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The edge notices each sound with the second frame that it is in."""
    monkeypatch.setattr(
        decision, "_notice", lambda spoken: [[int(one.onset_s / 0.02) + 1] for one in spoken], raising=True
    )


@pytest.mark.usefixtures("noticed")
def test_the_decision_alone_takes_the_time_of_the_audio_and_no_other() -> None:
    speech = Sound("speech", "espeak", SENTENCE, trimmed(say(SENTENCE)))
    hum = Sound("hum", "espeak", "mm-hm", trimmed(say("[[m:'hm:]]")))
    told, went_on = decide([speech, hum], seed=1)
    assert told.held_ms is not None
    assert 20 <= told.held_ms <= 40
    assert told.flushed_ms is not None
    assert 180 <= told.flushed_ms <= 700
    assert told.resumed_ms is None
    assert not told.went_on
    assert went_on.went_on
    assert went_on.held_ms is not None
    assert went_on.resumed_ms is not None
    assert went_on.held_ms < went_on.resumed_ms <= 1_000


@pytest.mark.usefixtures("noticed")
def test_the_same_seed_decides_the_same() -> None:
    sounds = [Sound("cough", "noise", "", made_noise(np.random.default_rng(5)))]
    assert decide(sounds, seed=3) == decide(sounds, seed=3)


def test_a_sound_begins_where_it_is_said_to() -> None:
    random = np.random.default_rng(2)
    spoken: list[Spoken] = [
        decision._speak(Sound("speech", "", "", np.full(3_200, 9_000, np.int16)), random) for _ in range(4)
    ]
    for one in spoken:
        frame = int(one.onset_s / 0.02)
        assert one.levels[frame - 1] > 60
        assert one.levels[frame + 1] < 20
        assert len(one.packets) == len(one.levels)


def test_events_of_a_caller_are_kept_until_they_are_asked_for() -> None:
    line = calls._Line(1, "ses_1")
    calls._happened(line, "agent_speaks", 0.0, "")
    assert line.speaking_since is not None
    calls._happened(line, "began", 123.0, "")
    calls._happened(line, "agent_silent", 0.0, "")
    calls._happened(line, "barge_in", 64.0, "")
    assert line == calls._Line(1, "ses_1", line.told, 123.0, None, 64.0, line.resumed)
    calls._happened(line, "ended", 0.0, "ICE disconnected")
    assert line.over == "ICE disconnected"


def test_ends_are_read_as_the_storyteller_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "start_callers", lambda **_: None)
    log = tmp_path / "ends.jsonl"
    exchange = calls.Exchange("http://127.0.0.1:1", log)
    assert exchange.ended("ses_1", 0.0) == []
    lines = [json.dumps({"session": f"ses_{n}", "at": float(n), "cut": "turn"}) for n in (1, 2, 1)]
    log.write_text("\n".join(lines) + "\n" + lines[0][:9], encoding="utf-8")
    assert exchange.ended("ses_1", 0.5) == [(1.0, "turn"), (1.0, "turn")]
    log.write_text("\n".join([*lines, lines[0]]) + "\n", encoding="utf-8")
    assert len(exchange.ended("ses_1", 0.5)) == 3
    assert exchange.ended("ses_2", 2.5) == []


def test_events_of_a_recording_are_what_is_loud_between_pauses() -> None:
    silence = np.zeros(8_000, np.int16)
    knock = np.full(1_600, 8_000, np.int16)
    found = list(events(np.concatenate([silence, knock, silence[:1_600], knock, silence, knock, silence])))
    assert [len(one) // 160 for one in found] == [30, 10]
    assert list(events(silence)) == []


def test_the_table_tells_what_is_met() -> None:
    speech = [Event("speech", f"v{n}", "", 0.0, 40.0, 300.0, None) for n in range(20)]
    other = [Event(kind, "v", "", 0.0, 50.0, None, 400.0) for kind in ("assent", "hum", "cough", "typing")]
    told = table("storyteller", 0.0, [*speech, *other])
    assert told.count(": met)") == 4
    assert "| speech (20) | 40 ms | 40 ms | 100% | 300 ms | 300 ms | 0% |" in told
