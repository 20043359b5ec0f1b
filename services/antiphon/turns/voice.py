"""The seam to voice activity detection, and the detector that needs no model: the caller's own hint (RFC 6464)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.frames import Frame

    Judged = Callable[[int, int, float], None]
    """(start, end, probability of voice) of a window, in the caller's 48 kHz ticks; called on the event loop."""


class VoiceStream(Protocol):
    """Listens to one caller."""

    def push(self, frame: Frame) -> None:
        """Frames in order; one that comes late (a repair) may be ignored."""
        ...

    def close(self) -> None: ...


class VoiceDetector(Protocol):
    """Listens to many callers."""

    def open(self, judged: Judged) -> VoiceStream: ...


class HintedVoice:
    """Believes the voice bit of each frame's level: right where it is set honestly (Chromium with DTX, tests)."""

    def open(self, judged: Judged) -> VoiceStream:
        return _HintedStream(judged)


class _HintedStream:
    def __init__(self, judged: Judged) -> None:
        self._judged = judged

    def push(self, frame: Frame) -> None:
        self._judged(frame.timestamp, frame.timestamp + frame.duration, 1.0 if frame.voice else 0.0)

    def close(self) -> None:
        pass
