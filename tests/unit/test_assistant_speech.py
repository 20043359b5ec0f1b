"""The assistant's real voice and ears: espeak in its process, moonshine on its thread."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import numpy as np
import pytest

from antiphon.assistant import Moonshine, PartError, VoiceProcess
from antiphon.worker import Speech
from tests.support.speech import say


@pytest.fixture
async def voice() -> AsyncIterator[VoiceProcess]:
    process = VoiceProcess("espeak")
    yield process
    await process.close()


async def one(voice: VoiceProcess, text: str) -> Speech:
    (speech,) = [piece async for piece in voice.speak(text)]
    return speech


async def test_each_word_ends_where_espeak_says(voice: VoiceProcess) -> None:
    speech = await one(voice, "Wait, please: 23 ships — no more.")
    ends = speech.word_ends
    assert ends is not None
    assert len(ends) == len(speech.text.split())
    assert list(ends) == sorted(ends)
    assert 0 < ends[0] < 0.6
    assert len(speech.pcm) / speech.rate - 0.5 < ends[-1] <= len(speech.pcm) / speech.rate
    pause = speech.pcm[round(ends[0] * speech.rate) :][: speech.rate // 20]
    assert np.abs(pause.astype(np.int32)).max() < 1000  # behind "Wait," there is a pause


async def test_a_voice_whose_process_died_speaks_again(voice: VoiceProcess) -> None:
    await one(voice, "hello")
    process = voice._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    assert len((await one(voice, "hello again")).pcm) > 1000


async def test_a_caller_that_leaves_takes_nothing_from_the_next(voice: VoiceProcess) -> None:
    await voice.start()
    leaving = asyncio.create_task(one(voice, "a sentence that nobody waits for"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    speech = await one(voice, "hi")
    assert speech.text == "hi"
    assert len(speech.pcm) / speech.rate < 1.0


async def test_too_many_texts_are_refused(voice: VoiceProcess) -> None:
    await voice._turn.acquire()
    waiting = [asyncio.create_task(one(voice, "wait")) for _ in range(64)]
    await asyncio.sleep(0)
    with pytest.raises(PartError, match="wait for the voice"):
        await one(voice, "one more")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    voice._turn.release()


async def test_an_unknown_voice_is_named() -> None:
    voice = VoiceProcess("espeak", "nobody")
    with pytest.raises(PartError, match="nobody"):
        await one(voice, "hello")
    await voice.close()


async def test_speech_is_recognised() -> None:
    ears = Moonshine()
    heard = await ears.recognize(say("What time is it?"))
    assert "time" in heard.lower()
    assert await ears.recognize(np.zeros(100, np.int16)) == ""
    ears.close()


async def test_more_turns_than_can_be_recognised_are_refused() -> None:
    ears = Moonshine()
    await ears.start()
    waiting = [asyncio.create_task(ears.recognize(say("hello"))) for _ in range(32)]
    await asyncio.sleep(0)
    with pytest.raises(PartError, match="wait to be recognised"):
        await ears.recognize(say("hello"))
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    ears.close()
