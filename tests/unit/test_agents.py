"""The built-in agents and the README's, talked with in virtual time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from antiphon.frames import Frame
from antiphon.opus import SILENCE_20_MS
from antiphon.testing import SimulatedCall
from tests.support.speech import say

AgentCall = Callable[..., SimulatedCall]
EXAMPLE = Path(__file__).parents[2] / "examples" / "my_agent.py"


def test_parrot_repeats_the_turn(agent_call: AgentCall) -> None:
    call = agent_call("parrot")
    speech = say("Pieces of eight! Pieces of eight!")
    call.says(speech)
    stopped = call.time
    heard = call.hears()
    assert heard.complete
    assert 0.5 < (heard.started_at or 0) - stopped < 0.75
    said = heard.pcm(16000).astype(float)
    assert likeness(said, speech.astype(float)) > 0.7


def test_parrot_falls_silent_within_100_ms_when_spoken_over(agent_call: AgentCall) -> None:
    call = agent_call("parrot")
    call.says("a long story that takes its time", seconds=5)
    call.waits(2.0)
    assert call.agent_speaking
    interrupted, sent = call.time, call.said[0].sent
    call.says("stop it")
    heard = call.said[0]
    assert not heard.complete
    assert heard.sent - sent <= 0.1  # held at once, flushed when the voice lasts
    assert heard.ended_at is not None
    assert heard.ended_at - interrupted <= 0.35
    assert heard.sent < heard.length
    flushed = call.event("agentUtterance")[-1]
    assert flushed["state"] == "flushed"
    assert flushed["heardMs"] == pytest.approx(heard.sent * 1000 - 40, abs=1)
    again = call.hears()
    assert again is heard
    assert call.hears().complete  # then it repeats the interruption


def test_parrot_answers_turn_after_turn(agent_call: AgentCall) -> None:
    call = agent_call("parrot")
    for number in range(1, 4):
        call.says(f"turn {number}")
        heard = call.hears()
        assert heard.complete
        assert heard.utterance == number
        states = [turn["state"] for turn in call.event("callerTurn")]
        assert states == ["started", "ended"] * number


def test_parrot_survives_the_caller_leaving_while_it_talks(agent_call: AgentCall) -> None:
    call = agent_call("parrot")
    call.says("goodbye", seconds=3)
    call.waits(1.5)
    assert call.agent_speaking
    call.hangs_up()
    assert call.ended == "bye"


def test_echo_sends_every_frame_back_at_once_and_untouched(agent_call: AgentCall) -> None:
    call = agent_call("echo")
    speech = say("is there anybody")
    call.says(speech)
    call.waits(0.1)
    (heard,) = call.said
    assert heard.live
    spoken = [packet for packet in heard.packets if packet != SILENCE_20_MS]
    assert len(spoken) == -(-len(speech) // 320)
    assert abs(len(heard.packets) * 0.02 - call.time) < 0.05


def test_echo_leaves_out_what_comes_behind_frames_that_were_played(agent_call: AgentCall) -> None:
    whole, repaired = agent_call("echo"), agent_call("echo")
    whole.says(say("is there anybody"), lost={20})
    repaired.says(say("is there anybody"), late={20: 0.1})
    assert whole.said[0].packets == repaired.said[0].packets


def test_the_readmes_agent_is_ten_lines_and_works(agent_call: AgentCall) -> None:
    assert len([line for line in EXAMPLE.read_text().splitlines() if line.strip()]) <= 10
    call = agent_call(EXAMPLE)
    call.says("hello", seconds=1.0)
    assert call.hears().complete
    call.waits(0.1)
    (message,) = call.messages
    assert message["seconds"] == pytest.approx(1.0)
    assert message["heard"] > 1.0


def likeness(heard: np.ndarray, spoken: np.ndarray) -> float:
    """Largest normalised correlation of the two at any lag."""
    size = 1 << (len(heard) + len(spoken)).bit_length()
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(spoken, size)), size)
    return float(product.max() / np.sqrt((heard**2).sum() * (spoken**2).sum()))


def test_frames_are_values() -> None:
    frame = Frame(1, 960, 0, 960, 0x1B2, 2, b"")
    assert (frame.voice, frame.level_dbov, frame.repaired) == (True, -50, True)
    assert Frame(1, 960, 0, 960, 0, 0, b"").level_dbov is None
