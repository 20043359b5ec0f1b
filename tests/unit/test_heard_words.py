"""What a caller has heard of speech that brings its words, to the word."""

from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.testing import SimulatedCall
from antiphon.worker import Said, Session, Speech
from antiphon.worker.audio import packets

AgentCall = Callable[..., SimulatedCall]
RATE = 22_050
TEN_WORDS = "one two three four five six seven eight nine ten"


def tone(seconds: float) -> np.ndarray:
    return np.asarray(8000 * np.sin(np.arange(round(seconds * RATE)) * (2 * np.pi * 300 / RATE)), np.int16)


def counting(word_ends: tuple[float, ...] | None) -> Speech:
    """Ten words in five seconds."""
    return Speech(tone(5.0), RATE, TEN_WORDS, word_ends)


def saying(said: list[Said], *speech: Speech) -> Callable[[Session], object]:
    async def agent(session: Session) -> None:
        async def pieces() -> AsyncIterator[Speech]:
            for piece in speech:
                yield piece

        @session.on_turn
        async def listen(_turn: object) -> None: ...

        said.append(await session.say(pieces()))

    return agent


def test_all_words_of_what_was_played_are_heard(agent_call: AgentCall) -> None:
    said: list[Said] = []
    call = agent_call(saying(said, counting(tuple(np.arange(0.5, 5.01, 0.5)))))
    call.hears()
    call.waits(0.1)
    assert said[0].text == TEN_WORDS
    assert said[0].text_exact


def test_words_end_where_the_caller_spoke_over_them(agent_call: AgentCall) -> None:
    said: list[Said] = []
    call = agent_call(saying(said, counting(tuple(np.arange(0.5, 5.01, 0.5)))))
    call.waits(2.2)
    call.says("stop")
    call.waits(1)
    words = said[0].words
    assert said[0].cut == "interrupted"
    assert words is not None
    assert words[-1].end <= said[0].heard < words[-1].end + 0.5
    assert TEN_WORDS.startswith(said[0].text or "-")
    assert len(words) in {4, 5}


def test_words_without_known_ends_are_estimated_by_their_letters_and_marked(agent_call: AgentCall) -> None:
    said: list[Said] = []
    call = agent_call(saying(said, counting(None)))
    call.waits(2.2)
    call.says("stop")
    call.waits(1)
    assert said[0].text in {"one two three four", "one two three four five"}
    assert not said[0].text_exact


def test_estimates_leave_out_the_pauses_at_the_ends() -> None:
    speech = Speech(np.concatenate([np.zeros(RATE, np.int16), tone(1.0), np.zeros(RATE, np.int16)]), RATE, "aye aye")
    ends = [word.end for word in speech.words(0.0)]
    assert ends == pytest.approx([1.5, 2.0], abs=0.01)


def test_words_of_later_pieces_count_from_the_utterances_beginning(agent_call: AgentCall) -> None:
    said: list[Said] = []
    call = agent_call(saying(said, Speech(tone(1.0), RATE, "first", (0.9,)), Speech(tone(1.0), RATE, "second", (0.9,))))
    call.hears()
    call.waits(0.1)
    assert [(word.text, round(word.end, 3)) for word in said[0].words or ()] == [("first", 0.9), ("second", 1.9)]


def test_audio_without_words_has_no_text(agent_call: AgentCall) -> None:
    said: list[Said] = []

    async def agent(session: Session) -> None:
        said.append(await session.say(tone(0.5), rate=RATE))

    call = agent_call(agent)
    call.hears()
    call.waits(0.1)
    assert said[0].text is None


def test_text_is_said_by_the_sessions_voice(agent_call: AgentCall) -> None:
    said: list[Said] = []

    class Beeps:
        async def speak(self, text: str) -> AsyncIterator[Speech]:
            for word in text.split():
                yield Speech(tone(0.2), RATE, word, (0.2,))

    async def agent(session: Session) -> None:
        session.voice = Beeps()
        said.append(await session.say("beep beep"))

    call = agent_call(agent)
    assert call.hears().length == pytest.approx(0.4, abs=0.021)
    call.waits(0.1)
    assert said[0].text == "beep beep"


async def test_speech_whose_words_and_ends_do_not_match_is_refused() -> None:
    with pytest.raises(ValueError, match="2 words has 1 word ends"):
        _ = [packet async for packet in packets(Speech(tone(1.0), RATE, "two words", (0.5,)), None)]


async def test_pieces_at_another_rate_are_refused() -> None:
    pieces = [Speech(tone(0.1), RATE, "a"), Speech(tone(0.1), 16_000, "b")]
    with pytest.raises(ValueError, match="one rate"):
        _ = [packet async for packet in packets(pieces, None)]


@given(
    pieces=st.lists(st.lists(st.floats(0.01, 0.4), min_size=1, max_size=4), min_size=1, max_size=4),
    rate=st.sampled_from([16_000, 22_050, 24_000]),
)
async def test_every_word_ends_in_the_packet_that_plays_its_end(pieces: list[list[float]], rate: int) -> None:
    speech = [
        Speech(np.zeros(round(sum(words) * rate), np.int16), rate, "w " * len(words), tuple(np.cumsum(words)))
        for words in pieces
    ]
    at, ended = 0.0, 0
    async for packet in packets(speech, None):
        at += packet.duration / 48_000
        ended += len(packet.words)
        assert all(at - 0.022 <= word.end <= at + 0.002 for word in packet.words)
    assert ended == sum(map(len, pieces))
