"""Recognition by moonshine (MIT; a wheel's library and weights, not its Python), on one thread for all callers.

The library releases the GIL. What waits too long is given up: an answer that late is of no use.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from antiphon.assistant import metrics
from antiphon.assistant.parts import PartError

if TYPE_CHECKING:
    from antiphon.opus import Pcm

_RATE = 16_000
_TINY = 0
_VERSION = 30_000
_MOST_WAITING = 32
_PATIENCE_S = 3.0
_SHORTEST = _RATE // 10
_LONGEST = 30 * _RATE
"""The model attends to no more at once; of a longer turn its end is recognised."""


class _Option(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("value", ctypes.c_char_p))


class _Line(ctypes.Structure):
    """transcript_line_t of the library's version 0.1."""

    _fields_ = (
        ("text", ctypes.c_char_p), ("audio", ctypes.c_void_p), ("audio_count", ctypes.c_size_t),
        ("start", ctypes.c_float), ("duration", ctypes.c_float), ("id", ctypes.c_uint64),
        ("complete", ctypes.c_int8), ("updated", ctypes.c_int8), ("new", ctypes.c_int8),
        ("text_changed", ctypes.c_int8), ("speakers_changed", ctypes.c_int8),
        ("spans", ctypes.c_void_p), ("span_count", ctypes.c_uint64), ("latency_ms", ctypes.c_uint32),
        ("words", ctypes.c_void_p), ("word_count", ctypes.c_uint64),
    )  # fmt: skip


class _Transcript(ctypes.Structure):
    _fields_ = (("lines", ctypes.POINTER(_Line)), ("count", ctypes.c_uint64))


class MoonshineModel:
    """The library's tiny English model; its own search for voice is off, since turns are found already."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("moonshine_voice")
        if spec is None or spec.origin is None:
            raise PartError("recognition is missing: pip install 'antiphon[assistant]'")
        folder = Path(spec.origin).parent
        self._library = ctypes.CDLL(str(folder / "libmoonshine.so"))
        options = (_Option * 2)(_Option(b"vad_threshold", b"0"), _Option(b"return_audio_data", b"false"))
        weights = str(folder / "assets" / "tiny-en").encode()
        self._handle = self._library.moonshine_load_transcriber_from_files(
            weights, _TINY, options, ctypes.c_uint64(len(options)), _VERSION
        )
        if self._handle < 0:
            raise PartError(f"moonshine cannot be loaded from {weights.decode()}: error {self._handle}")

    def transcribe(self, pcm: Pcm) -> str:
        samples = np.ascontiguousarray(pcm[-_LONGEST:], np.float32) / np.float32(32768)
        found = ctypes.POINTER(_Transcript)()
        code = self._library.moonshine_transcribe_without_streaming(
            self._handle, samples.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), ctypes.c_uint64(len(samples)),
            _RATE, 0, ctypes.byref(found),
        )  # fmt: skip
        if code != 0:
            raise PartError(f"moonshine failed: error {code}")
        lines = [found.contents.lines[index].text or b"" for index in range(found.contents.count)]
        return b" ".join(lines).decode(errors="replace").strip()


class Moonshine:
    """A Recognizer. The model is loaded with the first turn, or by `start`."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "moonshine")
        self._model: MoonshineModel | None = None
        self._waiting = 0

    async def start(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._loaded)

    async def recognize(self, pcm: Pcm) -> str:
        if len(pcm) < _SHORTEST:
            return ""
        if self._waiting >= _MOST_WAITING:
            metrics.REFUSED.labels("recognizer", "overload").inc()
            raise PartError(f"{self._waiting} turns wait to be recognised already")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, pcm, time.monotonic())
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _loaded(self) -> MoonshineModel:
        if self._model is None:
            self._model = MoonshineModel()
        return self._model

    def _run(self, pcm: Pcm, asked: float) -> str:
        model = self._loaded()
        began = time.monotonic()
        metrics.RECOGNITION_WAIT.observe(began - asked)
        if began - asked > _PATIENCE_S:
            metrics.REFUSED.labels("recognizer", "late").inc()
            raise PartError(f"a turn waited {began - asked:.1f} s to be recognised: this worker has too many callers")
        text = model.transcribe(pcm)
        metrics.RECOGNITION.observe(time.monotonic() - began)
        return text
