"""Voice activity with the real model, on speech and on what is none."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import numpy as np
import pytest

from antiphon.frames import Frame
from antiphon.opus import Encoder, Pcm
from antiphon.turns.actions import Committed, TurnStarted
from antiphon.turns.silero import SileroVoice
from tests.support.floor import Story
from tests.support.speech import say, silence
from tests.support.wait import until

Judgement = tuple[int, int, float]


@pytest.fixture
async def voice() -> AsyncIterator[SileroVoice]:
    voice = SileroVoice()
    yield voice
    voice.close()


def frames_of(pcm: Pcm, first: int = 0) -> list[Frame]:
    encoder = Encoder(16000)
    return [
        Frame(first + n, (first + n) * 960, 0, 960, 0, 0, encoder.encode(pcm[at : at + 320]))
        for n, at in enumerate(range(0, len(pcm) - 319, 320))
    ]


async def judge(voice: SileroVoice, frames: list[Frame]) -> list[Judgement]:
    judgements: list[Judgement] = []
    stream = voice.open(lambda *judgement: judgements.append(judgement))
    for frame in frames:
        stream.push(frame)
    windows = (frames[-1].timestamp + 960 - frames[0].timestamp) // 1536
    await until(lambda: len(judgements) >= windows)
    stream.close()
    return judgements


async def test_speech_is_one_turn_found_where_it_is(voice: SileroVoice) -> None:
    speech = say("Please tell me about the weather in Lisbon tomorrow.")
    judgements = await judge(voice, frames_of(np.concatenate([silence(1.0), speech, silence(1.0)])))
    story = Story()
    for start, end, p in judgements:
        story.hear(start / 48000, end / 48000, p)
    (started,), (ended,) = story.of(TurnStarted), story.of(Committed)
    loud = np.flatnonzero(np.abs(speech.astype(int)) > 1000) / 16000
    assert abs(started.began_s - (1.0 + loud[0])) < 0.15
    assert abs(ended.ended_s - (1.0 + loud[-1])) < 0.25


@pytest.mark.parametrize("kind", ["zeros", "noise", "tone"])
async def test_what_is_no_speech_is_no_voice(voice: SileroVoice, kind: str) -> None:
    samples = np.arange(48000)
    sounds = {
        "zeros": np.zeros(48000),
        "noise": np.random.default_rng(1).normal(0, 1000, 48000),
        "tone": 8000 * np.sin(samples * (2 * np.pi * 440 / 16000)),
    }
    judgements = await judge(voice, frames_of(sounds[kind].astype(np.int16)))
    assert np.mean([p > 0.5 for _, _, p in judgements]) < 0.05


async def test_many_callers_are_judged_in_batches_and_apart(voice: SileroVoice) -> None:
    talking, quiet = frames_of(say("one two three four five six seven")), frames_of(silence(2.0))
    results = await asyncio.gather(*(judge(voice, talking if n % 2 else quiet) for n in range(40)))
    for n, judgements in enumerate(results):
        loudest = max(p for _, _, p in judgements)
        assert loudest > 0.9 if n % 2 else loudest < 0.3
    assert results[1] == results[3]


async def test_windows_keep_to_the_time_line_over_pauses_and_repairs(voice: SileroVoice) -> None:
    frames = frames_of(silence(3.0))
    dtx = [frame for frame in frames if not 30 <= frame.sequence < 50]
    dtx.insert(40, frames[35])  # a repair that comes late
    judgements = await judge(voice, dtx)
    ends = [end for _, end, _ in judgements]
    assert all(later - earlier == 1536 for earlier, later in pairwise(ends))
    assert ends[-1] <= frames[-1].timestamp + 960


async def test_one_callers_trouble_leaves_the_others_heard(voice: SileroVoice) -> None:
    def trouble(*_: object) -> None:
        raise RuntimeError("trouble")

    frames = frames_of(say("good morning"))
    bad = voice.open(trouble)
    bad.push(frames[0]._replace(payload=None))  # type: ignore[arg-type]
    for frame in frames:
        bad.push(frame)
    assert max(p for _, _, p in await judge(voice, frames)) > 0.5
    bad.close()
