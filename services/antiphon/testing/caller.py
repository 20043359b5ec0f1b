"""A simulated caller's voice: a frame each 20 ms while the call lasts, silence unless something is to be said."""

from __future__ import annotations

import functools
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from antiphon.frames import Frame, Gap
from antiphon.opus import SILENCE_20_MS, Encoder

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from antiphon.opus import Pcm
    from antiphon.worker.listening import Stretch

FRAME_S = 0.02
_FRAME_TICKS = 960
_VOICE, _SILENCE = 0x180 | 18, 0x100 | 127
_SECONDS_A_WORD = 0.4


class _Spoken(NamedTuple):
    text: str
    begin_s: float
    end_s: float


class SimulatedVoice:
    """Makes a caller's frames one after the other. Frames that are voice say so in their level."""

    def __init__(self) -> None:
        self._sequence = 0
        self._pending: deque[tuple[bytes, bool]] = deque()
        self._spoken: list[_Spoken] = []

    @property
    def speaking(self) -> bool:
        return bool(self._pending)

    def speak_text(self, text: str, seconds: float | None, lost: Container[int]) -> None:
        count = round((_SECONDS_A_WORD * max(1, len(text.split())) if seconds is None else seconds) / FRAME_S)
        self._spoken.append(_Spoken(text, self._ahead_s(), self._ahead_s() + count * FRAME_S))
        self._pending.extend((_hum(), index in lost) for index in range(count))

    def speak_pcm(self, pcm: Pcm, rate: int, lost: Container[int]) -> None:
        encoder = Encoder(rate)
        padded = np.concatenate([pcm, np.zeros(-len(pcm) % encoder.samples, np.int16)])
        for index, block in enumerate(padded.reshape(-1, encoder.samples)):
            self._pending.append((encoder.encode(block), index in lost))

    def next(self, now_s: float) -> Frame | Gap:
        """The next 20 ms."""
        voice = bool(self._pending)
        payload, lost = self._pending.popleft() if voice else (SILENCE_20_MS, False)
        sequence = self._sequence
        self._sequence += 1
        if lost:
            return Gap(sequence, 1, lost=True)
        level = _VOICE if voice else _SILENCE
        return Frame(sequence, sequence * _FRAME_TICKS, round(now_s * 1e6), _FRAME_TICKS, level, 0, payload)

    def words(self, stretch: Stretch) -> str | None:
        """What was said as text between the ends of a turn."""
        return " ".join(self._texts(stretch)) or None

    def _texts(self, stretch: Stretch) -> Iterator[str]:
        for text, begin_s, end_s in self._spoken:
            if begin_s < stretch.ended_s and stretch.started_s < end_s:
                yield text

    def _ahead_s(self) -> float:
        return (self._sequence + len(self._pending)) * FRAME_S


@functools.cache
def _hum() -> bytes:
    """20 ms that are not silence."""
    encoder = Encoder(16_000)
    wave = (6000 * np.sin(np.arange(320) * (2 * np.pi * 200 / 16_000))).astype(np.int16)
    encoder.encode(wave)
    return encoder.encode(wave)
