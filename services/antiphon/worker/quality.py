"""How well a caller's audio came: for the session, as its edge counts, and for each turn, as its frames tell."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from antiphon.frames import CLOCK_RATE
from antiphon.turns import Echo
from antiphon.worker import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiphon.frames import Frame

_COUNTED = (
    "expected",
    "lost_before_repair",
    "repaired_red",
    "repaired_nack",
    "late",
    "reordered",
    "duplicates",
    "lost",
)


@dataclass(frozen=True, slots=True)
class Quality:
    """What came of a caller's packets, told by the edge about once a second. Counts are from the session's start."""

    rtt_s: float | None = None
    """Round trip between edge and caller in seconds; None while unknown."""
    jitter_s: float = 0.0
    """Interarrival jitter (RFC 3550, A.8) in seconds."""
    expected: int = 0
    """Packets that should have come."""
    lost_before_repair: int = 0
    """Packets that did not come by themselves."""
    repaired_red: int = 0
    """Frames that a later packet's redundancy (RFC 2198) brought."""
    repaired_nack: int = 0
    """Packets that came because the edge asked for them."""
    late: int = 0
    """Packets that came after they were given up."""
    reordered: int = 0
    """Packets that came behind a later one by themselves."""
    duplicates: int = 0
    """Packets that came twice."""
    lost: int = 0
    """Packets that were given up; those that came all the same are in `late`, too."""
    echo: Echo = Echo.UNTOLD
    """Whether the caller's microphone hears the agent."""
    echo_loss_db: int | None = None
    """How much softer than it was played; None while no echo is heard."""

    @property
    def loss_before_repair(self) -> float:
        """Share of packets that did not come by themselves, 0 to 1."""
        return self.lost_before_repair / self.expected if self.expected else 0.0

    @property
    def loss(self) -> float:
        """Share of packets that never came, 0 to 1: loss after repair."""
        return max(0, self.lost - self.late) / self.expected if self.expected else 0.0

    def count_since(self, before: Quality) -> None:
        """Adds to the process's counters what is new."""
        for name in _COUNTED:
            new = getattr(self, name) - getattr(before, name)
            if new > 0:
                metrics.CALLER_PACKETS.labels(name).inc(new)


@dataclass(frozen=True, slots=True)
class TurnQuality:
    """How well the audio of one turn came. Counts are of frames."""

    expected: int = 0
    """Those that the caller sent."""
    missing: int = 0
    """Those that had not come when the turn was handed over."""
    repaired: int = 0
    """Those that came late, asked for, or out of redundancy."""
    fec_recovered: int = 0
    """Missing ones that `pcm` decodes from the in-band FEC of the frame behind."""
    jitter_s: float = 0.0
    """Mean deviation of the frames' arrival from their own pace (RFC 3550, A.8), in seconds."""

    @classmethod
    def of(cls, frames: Sequence[Frame], events: int = 0) -> TurnQuality:
        """`events` are packets of the same stretch that were no audio."""
        if not frames:
            return cls()
        expected = max(frames[-1].sequence - frames[0].sequence + 1 - events, len(frames))
        gaps = [later for earlier, later in pairwise(frames) if later.sequence > earlier.sequence + 1]
        return cls(
            expected=expected,
            missing=expected - len(frames),
            repaired=sum(1 for frame in frames if frame.repaired or frame.redundant),
            fec_recovered=min(sum(1 for frame in gaps if frame.fec), expected - len(frames)),
            jitter_s=_jitter_s(frames),
        )


def _jitter_s(frames: Sequence[Frame]) -> float:
    """Frames that came late by repair tell nothing of the network's jitter."""
    jitter = 0.0
    prompt = [frame for frame in frames if not (frame.repaired or frame.redundant)]
    for earlier, later in pairwise(prompt):
        arrived = (later.arrival_us - earlier.arrival_us) / 1e6
        sent = (later.timestamp - earlier.timestamp) / CLOCK_RATE
        jitter += (abs(arrived - sent) - jitter) / 16
    return jitter
