"""The seam between a call and what carries it: a link to an edge, or a simulated caller."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

LAST = 1
"""Flag of a played frame: ends its utterance; the packet may be empty."""
LIVE = 2
"""Flag of a played frame: leaves on arrival instead of being paced."""


class PlayoutState(IntEnum):
    """As in PlayoutReports.state."""

    PLAYING = 0
    HELD = 1
    ENDED = 2
    FLUSHED = 3
    STARVED = 4


class HeardBasis(IntEnum):
    """As in PlayoutReports.basis: how it is known what was heard."""

    ESTIMATE = 0
    DEVICE = 1


class Report(Protocol):
    """What an edge says of an utterance; amounts are in 48 kHz samples."""

    utterance: int
    queued: int
    sent: int
    heard: int
    state: int


@dataclass(frozen=True, slots=True)
class CallInfo:
    """What is known of a session when it opens."""

    id: str
    epoch: int
    agent: str
    metadata: Mapping[str, object]
    caller: str
    edge: str
    region: str
    worker: str
    room: str = ""
    """Empty when in none."""


class Transport(Protocol):
    """Takes what a call sends. Nothing here waits: each method queues, and the queues are bounded where they stand."""

    def play(self, utterance: int, generation: int, duration: int, flags: int, payload: bytes, level: int = 0) -> None:
        """`level` is the loudness in -dBov (RFC 6464), 0 when unknown."""
        ...

    def hold(self) -> None: ...

    def resume(self) -> None: ...

    def release(self) -> None:
        """What the edge took for the caller's voice was none: it lets go of its own hold, and learns."""
        ...

    def set_policy(self, *, hold_on_voice: bool) -> None:
        """What the edge may do by itself."""
        ...

    def flush(self, generation: int) -> None:
        """Frames of generations below this one are dropped and refused."""
        ...

    def send_data(self, label: str, payload: bytes, *, binary: bool) -> None: ...

    def mute(self, muted: bool) -> None:  # noqa: FBT001
        """Whether nobody in its room hears the caller."""
        ...

    def hang_up(self, reason: str, *, after_playout: bool) -> None: ...

    def worker_s(self, edge_s: float) -> float:
        """A moment of the edge's monotonic clock on that of the event loop; seconds."""
        ...
