"""What the model says of sounds: words, hums of assent, bursts of noise; by voices that it was not made of."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loadtest.kinds.train import made_noise
from loadtest.kinds.voices import HELD_OUT_SENTENCES, HUMS, espeak_voices, trimmed

from antiphon.opus import Pcm
from antiphon.turns import Kind
from antiphon.turns.kinds import FIRST_LOOK, LAST_LOOK, LEAD, KindModel
from antiphon.turns.silero import SileroVoice
from tests.support.speech import say
from tests.support.wait import until
from tests.unit.test_silero import frames_of

VOICES = espeak_voices(held_out=True)[:12]
MODEL = KindModel()


def heard(sound: Pcm, seconds: float) -> Pcm:
    """As much of a sound as was heard after so many seconds."""
    audio = np.concatenate([np.zeros(LEAD, np.int16), trimmed(sound), np.zeros(16_000, np.int16)])
    return audio[: LEAD + round(seconds * 16_000)]


def said(text: str) -> list[Pcm]:
    return [say(text, 16_000, f"en-us+{voice}") for voice in VOICES]


def test_most_sentences_are_speech_and_hums_are_not() -> None:
    sentences = [one for text in HELD_OUT_SENTENCES[:6] for one in said(text)]
    hums = [one for phonemes in HUMS.values() for one in said(phonemes)]
    for seconds in (0.28, 0.52):
        speech = np.mean([MODEL.judge(heard(one, seconds)) is Kind.SPEECH for one in sentences])
        flushed = np.mean([MODEL.judge(heard(one, seconds)) is Kind.SPEECH for one in hums])
        assert speech > 0.75, seconds
        assert flushed < 0.15, seconds


def test_bursts_of_noise_are_noise() -> None:
    random = np.random.default_rng(7)
    kinds = [MODEL.judge(heard(made_noise(random), 0.28)) for _ in range(60)]
    assert np.mean([kind is Kind.NOISE for kind in kinds]) > 0.85


def test_too_little_is_nothing_yet() -> None:
    assert MODEL.judge(np.zeros(LEAD + FIRST_LOOK - 1, np.int16)) is None


@settings(deadline=None, max_examples=60)
@given(st.integers(0, LEAD + 2 * LAST_LOOK), st.integers(0, 32_767), st.integers(0, 2**32 - 1))
def test_any_audio_has_probabilities(samples: int, loudness: int, seed: int) -> None:
    audio = np.random.default_rng(seed).uniform(-loudness, loudness, samples).astype(np.int16)
    probabilities = MODEL.probabilities(audio)
    if samples < LEAD + FIRST_LOOK:
        assert probabilities is None
    else:
        assert probabilities is not None
        assert abs(probabilities.sum() - 1) < 1e-6


@pytest.fixture
async def voice() -> AsyncIterator[SileroVoice]:
    voice = SileroVoice()
    yield voice
    voice.close()


async def test_a_stream_answers_when_enough_of_the_sound_is_there_and_looks_twice(voice: SileroVoice) -> None:
    frames = frames_of(np.concatenate([np.zeros(3200, np.int16), trimmed(say("Could we talk about the price?"))]))
    stream = voice.open(lambda *_: None)
    answers: list[tuple[int, Kind | None]] = []
    sent = 0

    async def push_until(milliseconds: int) -> None:
        nonlocal sent
        while sent * 20 < 200 + milliseconds:
            stream.push(frames[sent])
            sent += 1
        await asyncio.sleep(0.1)

    def ask() -> None:
        stream.ask_kind(9600, lambda kind: answers.append((sent * 20 - 200, kind)))

    await push_until(100)
    ask()
    await push_until(260)
    assert answers == []
    await push_until(300)
    await until(lambda: len(answers) == 1)
    ask()
    await push_until(500)
    assert len(answers) == 1
    await push_until(540)
    await until(lambda: len(answers) == 2)
    assert answers == [(300, Kind.SPEECH), (540, Kind.SPEECH)]
    ask()
    stream.close()
    await asyncio.sleep(0.1)
    assert len(answers) == 2
