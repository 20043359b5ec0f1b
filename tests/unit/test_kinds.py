"""What the model says of sounds: words, hums of assent, bursts of noise; by voices that it was not made of."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loadtest.interruptions.decision import AtOnce
from loadtest.kinds.noises import made_noise
from loadtest.kinds.voices import HELD_OUT_SENTENCES, HUMS, espeak_voices, trimmed

from antiphon.opus import Pcm
from antiphon.turns import Kind
from antiphon.turns.kinds import DECISIVE, LEAD, KindModel, name_of, onset, samples
from antiphon.turns.silero import SileroModel
from tests.support.speech import say
from tests.unit.test_silero import frames_of

VOICES = espeak_voices(held_out=True)[:12]
MODEL = KindModel()


def heard(sound: Pcm, look: int) -> Pcm:
    """As much of a sound as a look is shown."""
    audio = np.concatenate([np.zeros(LEAD, np.int16), trimmed(sound), np.zeros(16_000, np.int16)])
    return audio[: LEAD + samples(look)]


def said(text: str) -> list[Pcm]:
    return [say(text, 16_000, f"en-us+{voice}") for voice in VOICES]


def test_most_sentences_are_speech_and_hums_are_not() -> None:
    sentences = [one for text in HELD_OUT_SENTENCES[:6] for one in said(text)]
    hums = [one for phonemes in HUMS.values() for one in said(phonemes)]
    for look in (DECISIVE, DECISIVE + 1):
        speech = np.mean([MODEL.judge(heard(one, look), look) is Kind.SPEECH for one in sentences])
        flushed = np.mean([MODEL.judge(heard(one, look), look) is Kind.SPEECH for one in hums])
        assert speech > 0.75, look
        assert flushed < 0.15, look


def test_an_early_look_calls_nothing_but_speech() -> None:
    random = np.random.default_rng(7)
    sounds = [*said("[[m:'hm:]]"), *said("yeah"), *(made_noise(random) for _ in range(30))]
    for look in range(DECISIVE):
        assert {MODEL.judge(heard(one, look), look) for one in sounds} <= {None, Kind.SPEECH}


def test_noises_are_no_speech() -> None:
    random = np.random.default_rng(7)
    kinds = [MODEL.judge(heard(made_noise(random), DECISIVE), DECISIVE) for _ in range(60)]
    assert np.mean([kind is not Kind.SPEECH for kind in kinds]) > 0.85


def test_what_goes_on_is_looked_at_again_and_again() -> None:
    assert [name_of(look) for look in range(6)] == [180, 240, 300, 520, "later", "later"]
    assert samples(7) == samples(3)


@pytest.mark.parametrize("hiss_ms", [0, 40, 90])
@pytest.mark.parametrize("late_ms", [0, 30])
def test_a_sound_begins_with_its_hiss_not_with_its_voice(hiss_ms: int, late_ms: int) -> None:
    random = np.random.default_rng(3)
    audio = random.normal(0, 10, 16_000)
    begin = 8_000
    audio[begin : begin + 16 * hiss_ms] += random.normal(0, 600, 16 * hiss_ms)
    audio[begin + 16 * hiss_ms :] += 8_000 * np.sin(np.arange(len(audio) - begin - 16 * hiss_ms) / 20)
    found = onset(audio.astype(np.int16), begin + 16 * (hiss_ms + late_ms))
    assert abs(found - begin) <= 160


def test_what_was_over_before_is_not_of_the_sound() -> None:
    audio = np.zeros(16_000, np.int16)
    audio[6_400:7_000] = 8_000
    audio[8_000:] = 8_000
    assert onset(audio, 8_160) == 8_000


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 5), st.integers(0, 32_767), st.integers(0, 2**32 - 1))
def test_any_audio_has_probabilities(look: int, loudness: int, seed: int) -> None:
    audio = np.random.default_rng(seed).uniform(-loudness, loudness, LEAD + samples(look)).astype(np.int16)
    assert abs(MODEL.probabilities(audio, look).sum() - 1) < 1e-6
    assert 0 <= onset(audio, len(audio) // 2) < len(audio)


async def test_a_stream_looks_until_it_is_told_and_again_at_what_goes_on() -> None:
    sentence = trimmed(say("Could we talk about the price of all this, please, before anything else?"))
    frames = frames_of(np.concatenate([np.zeros(3200, np.int16), sentence]))
    stream = AtOnce(SileroModel()).open(lambda *_: None)
    answers: list[tuple[int, Kind | None]] = []
    heard_ms = -200

    def answered(kind: Kind | None) -> None:
        answers.append((heard_ms, kind))
        if len(answers) < 4:
            stream.ask_kind(9600, answered)

    async def hear(until_ms: int) -> None:
        nonlocal heard_ms
        while heard_ms < until_ms:
            stream.push(frames[(heard_ms + 200) // 20])
            heard_ms += 20
            for _ in range(3):
                await asyncio.sleep(0)

    await hear(60)
    stream.ask_kind(9600, answered)
    await hear(560)
    looks = [at for at, _ in answers]
    assert len(looks) == 4
    assert all(abs(at - look) <= 40 for at, look in zip(looks, (180, 240, 300, 520), strict=True)), looks
    assert next(at for at, kind in answers if kind is Kind.SPEECH) <= 340
    stream.ask_kind(9600, answered)
    await hear(1_000)
    assert len(answers) == 5
    stream.ask_kind(9600, answered)
    stream.close()
    await hear(1_200)
    assert len(answers) == 5
