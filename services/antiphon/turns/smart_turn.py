"""Is a caller's turn over? smart-turn v3.2 (BSD-2) by ONNX, for all callers of a process, in batches on one thread.

It hears the last 8 s of audio as 80 mel bands of 800 frames, made as for Whisper (Radford et al., 2022), and says how
likely the speaker has finished. Who asks has an answer within a deadline, or None: silence decides then.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from prometheus_client import Counter, Histogram

from antiphon.telemetry import get_logger
from antiphon.turns.model_thread import ModelThread, one_thread_session
from antiphon.turns.models import SMART_TURN, model_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_log = get_logger("worker.turns")
RATE = 16_000
SAMPLES = 8 * RATE
"""As much audio as the model hears."""
_FFT, _HOP, _BANDS = 400, 160, 80
_USUAL_S = 0.05
_YIELDS = 10
"""Voice detection, and all that callers hear, goes first: who waits too long for this model has silence decide."""
_DEADLINE_S = 0.25
_MOST_WAITING = 64
_BATCH = 4

_ANSWERS = Counter("antiphon_end_of_turn_answers", "Questions to the end-of-turn model.", ["outcome"])
_SECONDS = Histogram(
    "antiphon_end_of_turn_seconds",
    "From the question to the answer.",
    buckets=(0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5),
)


def features(audio: NDArray[np.int16]) -> Floats:
    """Of the last 8 s of mono audio at 16 kHz, silence before it where it is shorter: shape (80, 800)."""
    samples = np.zeros(SAMPLES, np.float32)
    tail = audio[-SAMPLES:]
    samples[SAMPLES - len(tail) :] = tail.astype(np.float32) / 32768
    samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    padded = np.pad(samples, _FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP][: SAMPLES // _HOP]
    power = np.abs(np.fft.rfft(frames * _window(), axis=1).astype(np.complex64)) ** 2
    log = np.log10(np.maximum(power @ _mel(), 1e-10)).T
    scaled: Floats = ((np.maximum(log, log.max() - 8.0) + 4.0) / 4.0).astype(np.float32)
    return scaled


@cache
def _window() -> Floats:
    return np.hanning(_FFT + 1)[:-1].astype(np.float32)


@cache
def _mel() -> Floats:
    """Slaney's mel filters, each of the same area: shape (201, 80)."""
    edges = _hertz(np.linspace(0.0, _mels(RATE / 2), _BANDS + 2))
    bins = np.linspace(0.0, RATE / 2, _FFT // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))
    return filters.astype(np.float32)


_BREAK_HZ, _BREAK_MEL, _LINEAR = 1000.0, 15.0, 200.0 / 3
_LOG_STEP = np.log(6.4) / 27


def _mels(hertz: float) -> float:
    return float(_BREAK_MEL + np.log(hertz / _BREAK_HZ) / _LOG_STEP)


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mels < _BREAK_MEL, mels * _LINEAR, _BREAK_HZ * np.exp(_LOG_STEP * (mels - _BREAK_MEL)))


class SmartTurnModel:
    """The model for a batch: pure arrays in, pure arrays out."""

    def __init__(self, path: Path) -> None:
        self._session = one_thread_session(path)

    def judge(self, inputs: Floats) -> Floats:
        """Features (n, 80, 800) in, probabilities (n,) of an end out."""
        output: Floats = self._session.run(None, {"input_features": inputs})[0]
        return output[:, 0]


class _Question(NamedTuple):
    audio: NDArray[np.int16]
    answered: Callable[[float | None], None]
    asked_s: float


class SmartTurn:
    """Answers questions from any thread, on the event loop that `start` was called on."""

    def __init__(self) -> None:
        self._queue: deque[_Question] = deque()
        self._question_s = _USUAL_S
        """What a question costs, as far as is known."""
        self._thread: ModelThread[SmartTurnModel] = ModelThread(
            "smart-turn", self._work, lambda: None, lost=self._abandon, yields=_YIELDS
        )

    def start(self) -> None:
        """Loads the model, if it is there; silence decides where it cannot be. Call it on the event loop."""
        path = model_path(SMART_TURN)
        there = path.exists()
        if not there:
            _log.warning(
                "no end-of-turn model: turns end by silence alone; get it with `antiphon models`", path=str(path)
            )
        self._thread.start((lambda: SmartTurnModel(path)) if there else None)

    def close(self) -> None:
        self._thread.close()

    def ask(self, audio: NDArray[np.int16], answered: Callable[[float | None], None]) -> None:
        """Audio: the caller's last seconds, mono, 16 kHz, up to now. None where nobody answers in time."""
        question = _Question(audio, answered, time.monotonic())
        if not self._thread.usable:
            self._answer([(question, None, "no_model")])
        elif len(self._queue) >= _MOST_WAITING:
            self._answer([(question, None, "overload")])
        else:
            self._queue.append(question)
            self._thread.wake()
            if not self._thread.usable:  # it was lost at this moment
                self._abandon()

    def _abandon(self) -> None:
        """The model cannot be loaded: silence decides, for those too who asked meanwhile."""
        with suppress(IndexError):
            while True:
                self._answer([(self._queue.popleft(), None, "no_model")])

    def _work(self, model: SmartTurnModel) -> None:
        while self._queue:
            self._judge(model)

    def _judge(self, model: SmartTurnModel) -> None:
        batch: list[_Question] = []
        late: list[_Question] = []
        most = max(1, min(_BATCH, int(_DEADLINE_S / 2 / self._question_s)))
        while self._queue and len(batch) < most:
            question = self._queue.pop()  # where not all can be answered, the last are answered in time
            (batch if time.monotonic() - question.asked_s < _DEADLINE_S else late).append(question)
        self._answer([(question, None, "late") for question in late])
        if not batch:
            return
        began_s = time.monotonic()
        try:
            said = model.judge(np.stack([features(question.audio) for question in batch]))
        except Exception:  # noqa: BLE001 - all other callers still need this thread
            _log.exception("the end-of-turn model failed on a batch; it goes on")
            self._answer([(question, None, "failed") for question in batch])
            return
        took_s = (time.monotonic() - began_s) / len(batch)
        self._question_s += (took_s - self._question_s) / 8
        for question in batch:
            _SECONDS.observe(time.monotonic() - question.asked_s)
        answers = zip(batch, said, strict=True)
        self._answer([(question, float(probability), "answered") for question, probability in answers])

    def _answer(self, answers: list[tuple[_Question, float | None, str]]) -> None:
        for question, probability, outcome in answers:
            _ANSWERS.labels(outcome).inc()
            self._thread.tell(question.answered, probability)
