"""A simulated caller's voice: a frame each 20 ms while the call lasts, silence unless something is to be said.

Frames may be lost, or come late, as over a bad network whose edge repairs what it can.
"""

from __future__ import annotations

import functools
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from antiphon.frames import FEC, REPAIR, TELEPHONE_EVENT, Frame, Gap
from antiphon.opus import SILENCE_20_MS, Encoder, carries_fec

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from antiphon.opus import Pcm
    from antiphon.worker.stretch import Stretch

FRAME_S = 0.02
_FRAME_TICKS = 960
_VOICE, _SILENCE = 0x180 | 18, 0x100 | 127
_SECONDS_A_WORD = 0.4
KEYS = "0123456789*#ABCD"
KEY_END = 0x80


class Fate(NamedTuple):
    """What the network does to frames of what is said, by their index."""

    lost: Container[int]
    late: Mapping[int, float]
    """Seconds after which a frame that was missed is repaired."""

    def of(self, index: int) -> float | None:
        """How late a frame comes; None when it never does."""
        return None if index in self.lost else self.late.get(index, 0.0)


class _Spoken(NamedTuple):
    text: str
    begin_s: float
    end_s: float


class SimulatedVoice:
    """Makes a caller's frames one after the other. Frames that are voice say so in their level."""

    def __init__(self) -> None:
        self._sequence = 0
        self._ticks = 0
        """Frames of time: keys share the sequence, but not the time."""
        self._pending: deque[tuple[bytes, float | None]] = deque()
        self._repairs: list[tuple[float, Frame]] = []
        self._spoken: list[_Spoken] = []

    @property
    def speaking(self) -> bool:
        return bool(self._pending)

    def speak_text(self, text: str, seconds: float | None, fate: Fate) -> None:
        count = round((_SECONDS_A_WORD * max(1, len(text.split())) if seconds is None else seconds) / FRAME_S)
        self._spoken.append(_Spoken(text, self._ahead_s(), self._ahead_s() + count * FRAME_S))
        self._pending.extend((_hum(), fate.of(index)) for index in range(count))

    def speak_pcm(self, pcm: Pcm, rate: int, fate: Fate) -> None:
        encoder = Encoder(rate)
        padded = np.concatenate([pcm, np.zeros(-len(pcm) % encoder.samples, np.int16)])
        for index, block in enumerate(padded.reshape(-1, encoder.samples)):
            self._pending.append((encoder.encode(block), fate.of(index)))

    def next(self, now_s: float) -> list[Frame | Gap]:
        """What comes in the next 20 ms: a frame, or that it is missing, and repairs of earlier ones."""
        voice = bool(self._pending)
        payload, late_s = self._pending.popleft() if voice else (SILENCE_20_MS, 0.0)
        sequence, timestamp = self._sequence, self._ticks * _FRAME_TICKS
        self._sequence += 1
        self._ticks += 1
        level = _VOICE if voice else _SILENCE
        flags = FEC if carries_fec(payload) else 0
        frame = Frame(sequence, timestamp, round(now_s * 1e6), _FRAME_TICKS, level, flags, payload)
        due = [repair for at_s, repair in self._repairs if at_s <= now_s]
        self._repairs = [(at_s, repair) for at_s, repair in self._repairs if at_s > now_s]
        repaired: list[Frame | Gap] = [
            repair._replace(arrival_us=round(now_s * 1e6), flags=repair.flags | REPAIR) for repair in due
        ]
        if late_s == 0:
            return [*repaired, frame]
        if late_s is not None:
            self._repairs.append((now_s + late_s, frame))
        return [*repaired, Gap(sequence, 1, lost=late_s is None)]

    def press(self, digit: str, seconds: float, now_s: float) -> Iterator[Frame]:
        """Packets of a key (RFC 4733): its duration so far, and its end three times over."""
        code = KEYS.index(digit)
        timestamp = self._ticks * _FRAME_TICKS
        count = max(1, round(seconds / FRAME_S))
        for packet in range(1, count + 3):
            ended = packet >= count
            ticks = min(packet, count) * _FRAME_TICKS
            payload = bytes((code, KEY_END if ended else 0)) + ticks.to_bytes(2, "big")
            sequence = self._sequence
            self._sequence += 1
            yield Frame(sequence, timestamp, round(now_s * 1e6), 0, 0, TELEPHONE_EVENT, payload)

    def words(self, stretch: Stretch) -> str | None:
        """What was said as text between the ends of a turn."""
        return " ".join(self._texts(stretch)) or None

    def _texts(self, stretch: Stretch) -> Iterator[str]:
        for text, begin_s, end_s in self._spoken:
            if begin_s < stretch.ended_s and stretch.started_s < end_s:
                yield text

    def _ahead_s(self) -> float:
        return (self._ticks + len(self._pending)) * FRAME_S


@functools.cache
def _hum() -> bytes:
    """20 ms that are not silence."""
    encoder = Encoder(16_000)
    wave = (6000 * np.sin(np.arange(320) * (2 * np.pi * 200 / 16_000))).astype(np.int16)
    encoder.encode(wave)
    return encoder.encode(wave)
