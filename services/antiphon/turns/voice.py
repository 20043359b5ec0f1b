"""The seam to the models that listen to callers, and the detector that needs none: the caller's own hint (RFC 6464)."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.frames import Frame

    Judged = Callable[[int, int, float], None]
    """(start, end, probability of voice) of a window, in the caller's 48 kHz ticks; called on the event loop."""


class Kind(Enum):
    """What a sound of the caller is, as far as the floor is concerned."""

    SPEECH = "speech"
    """Somebody wants to say something."""
    BACKCHANNEL = "backchannel"
    """Somebody listens, and says so: "mm-hm"."""
    NOISE = "noise"
    """Nobody's words: a cough, a click, a door."""
    ECHO = "echo"
    """The agent's own voice, come back."""


class Echo(Enum):
    """Whether the caller's microphone hears the agent."""

    UNTOLD = "untold"
    """Nobody measures it."""
    UNKNOWN = "unknown"
    """Too little was played so far."""
    NONE = "none"
    HEARD = "heard"


class VoiceStream(Protocol):
    """Listens to one caller. Answers come on the event loop, after the call that asked, and none after `close`."""

    def push(self, frame: Frame) -> None:
        """Frames in order; one that comes late (a repair) may be ignored."""
        ...

    def ask_end(self, answered: Callable[[float | None], None]) -> None:
        """How likely it is that the caller's turn is over, from the audio up to the last frame pushed.

        None where there is no model, or it is too busy to answer in time.
        """
        ...

    def ask_kind(self, since: int, answered: Callable[[Kind | None], None]) -> None:
        """What the sound since a 48 kHz tick is. None where that cannot be told."""
        ...

    def close(self) -> None: ...


class VoiceDetector(Protocol):
    """Listens to many callers."""

    def open(self, judged: Judged) -> VoiceStream: ...


class Unasked:
    """Of a stream that has no models to ask."""

    closed = False

    def ask_end(self, answered: Callable[[float | None], None]) -> None:
        self._answer_nothing(answered)

    def ask_kind(self, since: int, answered: Callable[[Kind | None], None]) -> None:
        del since
        self._answer_nothing(answered)

    def close(self) -> None:
        self.closed = True

    def _answer_nothing(self, answered: Callable[[None], None]) -> None:
        asyncio.get_running_loop().call_soon(lambda: None if self.closed else answered(None))


class HintedVoice:
    """Believes the voice bit of each frame's level: right where it is set honestly (Chromium with DTX, tests)."""

    def open(self, judged: Judged) -> VoiceStream:
        return _HintedStream(judged)


class _HintedStream(Unasked):
    def __init__(self, judged: Judged) -> None:
        self._judged = judged

    def push(self, frame: Frame) -> None:
        self._judged(frame.timestamp, frame.timestamp + frame.duration, 1.0 if frame.voice else 0.0)
