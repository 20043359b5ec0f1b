"""libespeak-ng (GPL-3, from the espeakng-loader wheel) by ctypes, with the moment at which it says each word."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import espeakng_loader
import numpy as np

from antiphon.voices.engine import Utterance, last_sound

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_SYNCHRONOUS = 2
_UTF8 = 1
_END_OF_EVENTS, _WORD = 0, 1


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """An Engine. The library is a singleton: one for each process."""

    def __init__(self, voice: str) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(Path(espeakng_loader.get_data_path()).parent).encode()
        self._rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0)
        if self._rate <= 0:
            raise RuntimeError(f"libespeak-ng did not start with the data in {data!r}")
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"libespeak-ng has no voice {voice!r}")
        self._pieces: list[NDArray[np.int16]] = []
        self._words: list[tuple[int, int]] = []
        self._callback: Callable[..., Any] = _CALLBACK(self._collect)  # kept alive for the library
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str) -> Utterance:
        self._pieces, self._words = [], []
        encoded = text.encode()
        self._library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 0, 0, _UTF8, None, None)
        pcm = np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.int16)
        return Utterance(pcm, self._rate, self._word_ends(text, pcm))

    def _collect(self, samples: Any, count: int, events: Any) -> int:  # noqa: ANN401 - ctypes pointers
        if samples and count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        at = 0
        while events[at].type != _END_OF_EVENTS:
            if events[at].type == _WORD:
                self._words.append((events[at].text_position - 1, events[at].audio_position_ms * self._rate // 1000))
            at += 1
        return 0

    def _word_ends(self, text: str, pcm: NDArray[np.int16]) -> list[float]:
        """A word between white space ends where the next one begins, less the pause between them."""
        spans = [match.span() for match in re.finditer(r"\S+", text)]
        begins: list[int | None] = [
            next((sample for position, sample in self._words if first <= position < end), None) for first, end in spans
        ]
        ends: list[float] = []
        for index, begin in enumerate(begins):
            if begin is None:  # it is not said, as a dash
                ends.append(ends[-1] if ends else 0.0)
                continue
            following = next((later for later in begins[index + 1 :] if later is not None), len(pcm))
            ends.append(last_sound(pcm, begin, max(begin, following)) / self._rate)
        return ends
