"""Speech for tests, made from text by libespeak-ng (from the espeakng-loader wheel) through ctypes."""

from __future__ import annotations

import ctypes
import functools
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import espeakng_loader
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_SYNCHRONOUS = 2
_UTF8 = 1
_PHONEMES = 0x100
"""Text in [[ ]] is phonemes."""
_SPEED, _PITCH = 1, 3
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _Espeak:
    """The library is a singleton: one state, one callback."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(Path(espeakng_loader.get_data_path()).parent).encode()
        self.rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0)
        if self.rate <= 0:
            msg = f"libespeak-ng did not start with the data in {data!r}"
            raise RuntimeError(msg)
        self._pieces: list[NDArray[np.int16]] = []
        self._callback: Callable[..., Any] = _CALLBACK(self._collect)  # kept alive for the library
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: Any, count: int, _events: object) -> int:
        if samples and count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        return 0

    def speak(self, text: str, voice: str, speed: int, pitch: int) -> NDArray[np.int16]:
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            msg = f"libespeak-ng has no voice {voice!r}"
            raise ValueError(msg)
        self._library.espeak_SetParameter(_SPEED, speed, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        self._pieces.clear()
        encoded = text.encode()
        self._library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 0, 0, _UTF8 | _PHONEMES, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.int16)


@functools.cache
def _espeak() -> _Espeak:
    return _Espeak()


@functools.lru_cache(maxsize=64)
def say(text: str, rate: int = 16000, voice: str = "en-us", *, speed: int = 175, pitch: int = 50) -> NDArray[np.int16]:
    """Returns mono speech, shape (samples,), read-only. It opens and ends with a little silence, as espeak makes it.

    speed: words a minute; pitch: 0 to 99; a voice may name a variant of its speaker, like `en-us+linda`.
    """
    espeak = _espeak()
    speech = espeak.speak(text, voice, speed, pitch)
    if rate != espeak.rate:
        count = round(len(speech) * rate / espeak.rate)
        where = np.arange(count) * (espeak.rate / rate)
        speech = np.interp(where, np.arange(len(speech)), speech).astype(np.int16)
    speech.setflags(write=False)
    return speech


def silence(seconds: float, rate: int = 16000) -> NDArray[np.int16]:
    return np.zeros(round(seconds * rate), np.int16)


def write_wav(path: Path, pcm: NDArray[np.int16], rate: int = 16000) -> Path:
    """Writes mono 16-bit PCM and returns the path."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.astype("<i2").tobytes())
    return path


def read_wav(path: Path) -> tuple[NDArray[np.int16], int]:
    """Returns the first channel of a 16-bit wav and its rate."""
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples[:: file.getnchannels()].astype(np.int16), file.getframerate()
