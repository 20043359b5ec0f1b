"""The seam between a call and what carries it: a link to an edge, or a simulated caller."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from antiphon.spans import NO_TRACE, Trace

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
class Takeover:
    """How a session stands whose worker is lost."""

    number: int
    """Counted from 1 for each epoch: checkpoints of a worker of a lower number are refused."""
    utterance: int
    """The last one of the workers before."""
    generation: int
    """What is played at the edge is of this one."""


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
    turns: Mapping[str, object] = field(default_factory=dict)
    """How the session shall take turns, where it was made with wishes: see `antiphon.turns.with_wishes`."""
    recording: str = ""
    """The project that its recording shall belong to; empty where it is not to be recorded."""
    takeover: Takeover | None = None
    """Where another worker had the session, and is lost."""
    trace: Trace = NO_TRACE
    """What its spans belong to."""

    @property
    def takeovers(self) -> int:
        """How many workers lost the session in this epoch, before this one had it."""
        return 0 if self.takeover is None else self.takeover.number


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

    def done(self, timestamp: int) -> None:
        """The caller's frames that begin before this tick, on the edge's time line, need not be kept any more."""
        ...

    def worker_s(self, edge_s: float) -> float:
        """A moment of the edge's monotonic clock on that of the event loop; seconds."""
        ...


def parse_metadata(text: str) -> dict[str, object]:
    """Returns the application's JSON object; empty when there is none."""
    try:
        metadata = json.loads(text) if text else {}
    except RecursionError as error:
        raise ValueError("metadata is nested too deep") from error
    if not isinstance(metadata, dict):
        raise ValueError("metadata is no JSON object")  # noqa: TRY004 - what came is wrong, not our types
    return metadata
