"""Keys that a caller presses: RFC 4733 packets, of which each event has many, made into one key each."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from antiphon.frames import CLOCK_RATE
from antiphon.worker import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from antiphon.frames import Frame

PATIENCE_S = 0.25
"""An event of which no packet came for so long is over: its last packets, sent three times, are lost."""
_DIGITS = "0123456789*#ABCD"
_LENGTH = 4
_END = 0x80
_LONGEST = 0xFFFF
_REMEMBERED = 1_024
"""Packets: twenty seconds of keys."""


@dataclass(frozen=True, slots=True)
class Dtmf:
    """A key that was pressed and let go."""

    digit: str
    """0 to 9, *, #, A to D."""
    seconds: float
    """How long it was pressed."""
    started: float
    """When, in seconds since the session's first frame."""


@dataclass(frozen=True, slots=True)
class _Pressed:
    code: int
    began: int
    """Tick of its first segment."""
    segment: int
    """Tick of the segment that goes on: a segment holds 1.4 s at most (RFC 4733, 2.5.1.3)."""
    ticks: int
    """Duration of that segment so far."""


class Keypad:
    """One caller's keys: packets in, keys out, each once."""

    def __init__(self) -> None:
        self._pressed: _Pressed | None = None
        self._over = -1
        """Tick of the newest segment of a key that was told."""
        self._origin: int | None = None
        self._packets: deque[int] = deque(maxlen=_REMEMBERED)
        """Their sequence numbers."""

    @property
    def pressed(self) -> bool:
        return self._pressed is not None

    def begin(self, timestamp: int) -> None:
        """The session's first frame: times count from it."""
        if self._origin is None:
            self._origin = timestamp

    def packets_within(self, frames: Sequence[Frame]) -> int:
        """Packets of keys between frames of audio: they share the sequence, so that their numbers are no loss."""
        if not frames:
            return 0
        return sum(1 for sequence in self._packets if frames[0].sequence < sequence < frames[-1].sequence)

    def hear(self, frame: Frame) -> list[Dtmf]:
        """Returns the keys that are known to be let go by this packet: one that ended before, its own."""
        self.begin(frame.timestamp)
        self._packets.append(frame.sequence)
        if len(frame.payload) < _LENGTH:
            metrics.DTMF.labels("malformed").inc()
            return []
        code, flags = frame.payload[0], frame.payload[1]
        ticks = int.from_bytes(frame.payload[2:4], "big")
        if frame.timestamp <= self._over:
            metrics.DTMF.labels("repeated").inc()
            return []
        told = []
        pressed = self._pressed
        if pressed is not None and not _continues(pressed, code, frame.timestamp):
            if frame.timestamp < pressed.segment:
                metrics.DTMF.labels("repeated").inc()
                return []
            told += self.let_go()
            pressed = None
        if pressed is None:
            pressed = _Pressed(code, frame.timestamp, frame.timestamp, 0)
        ticks = max(ticks, pressed.ticks) if frame.timestamp == pressed.segment else ticks
        self._pressed = _Pressed(code, pressed.began, frame.timestamp, ticks)
        return told + self.let_go() if flags & _END else told

    def let_go(self) -> list[Dtmf]:
        """Ends what is pressed."""
        pressed, self._pressed = self._pressed, None
        if pressed is None:
            return []
        self._over = pressed.segment
        if pressed.code >= len(_DIGITS):
            metrics.DTMF.labels("no_key").inc()
            return []
        metrics.DTMF.labels("key").inc()
        ticks = pressed.segment + pressed.ticks - pressed.began
        started = (pressed.began - (self._origin or 0)) / CLOCK_RATE
        return [Dtmf(_DIGITS[pressed.code], ticks / CLOCK_RATE, started)]


class Keys:
    """Tells each key of a keypad once it is let go, or no packet of it came for a while."""

    def __init__(self, keypad: Keypad, tell: Callable[[Dtmf], None]) -> None:
        self._keypad = keypad
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None

    def hear(self, frame: Frame) -> None:
        self.close()
        self._tell_all(self._keypad.hear(frame))
        if self._keypad.pressed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(PATIENCE_S, lambda: self._tell_all(self._keypad.let_go()))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell_all(self, keys: list[Dtmf]) -> None:
        for key in keys:
            self._tell(key)


def _continues(pressed: _Pressed, code: int, timestamp: int) -> bool:
    """The same segment, or the next one of a key that is held down."""
    if code != pressed.code:
        return False
    return timestamp == pressed.segment or (
        pressed.segment < timestamp <= pressed.segment + _LONGEST
        and (pressed.ticks >= _LONGEST * 3 // 4 and timestamp >= pressed.segment + pressed.ticks)
    )
