"""Where the time goes between a caller's last sound and the agent's first: a trace of each turn, stage by stage.

Moments are seconds of the worker's monotonic clock; the edge's are carried over by the link's pings. A stage lasts from
the moment of the stage before to its own. What was thought ahead, before the turn was committed, costs nothing, so
each moment counts from the latest before it: the stages always add up to the whole. docs/latency.md defines them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from antiphon.turns.actions import Committed

STAGES = (
    "received", "detected", "committed", "transcript", "token", "frame", "sent", "arrived", "played", "sounded"
)  # fmt: skip
"""In order. Those of the agent's own code are missing where it marks none."""
AGENT_STAGES = ("transcript", "token")
_MOST_MARKS = 32
_LONGEST_MARK = 32


class Stage(NamedTuple):
    name: str
    at: float
    """Seconds from the caller's last sound to the end of the stage."""
    took: float
    """Seconds of the stage."""


@dataclass(frozen=True, slots=True)
class Playout:
    """What an edge tells of an utterance's first frame. Seconds; moments are of the worker's clock."""

    sent: float
    way: float
    """From leaving the edge to the caller's device."""
    to_the_ear: float
    """From leaving the edge to the caller's ear."""
    by_device: bool
    """Whether the device tells that; else it is estimated."""


@dataclass(eq=False, slots=True)
class TurnTrace:
    """One turn's. A tentative one has only marks, until it is committed."""

    moments: dict[str, float] = field(default_factory=dict)
    lead: float = 0.0
    """Seconds of silence at the head of the answer."""
    spoke: float | None = None
    """The caller's last sound, in caller time: when it was made."""
    commit: Committed | None = None
    playout: Playout | None = None
    over: bool = False
    span: str = ""
    """What its span hands on, which is made when the trace is over; empty where nothing is beneath it."""

    def mark(self, name: str, at: float) -> None:
        """The first of a name counts. Raises ValueError for a name that is too long, or one too many."""
        if self.over or name in self.moments:
            return
        if not 0 < len(name) <= _LONGEST_MARK:
            raise ValueError(f"mark {name[:40]!r}: expected 1 to {_LONGEST_MARK} characters")
        if len(self.moments) >= _MOST_MARKS:
            raise ValueError(f"a turn has {_MOST_MARKS} marks at most")
        self.moments[name] = at

    def committed(self, commit: Committed, *, spoke: float, received: float, detected: float, at: float) -> None:
        self.commit, self.spoke = commit, spoke
        self.moments |= {"received": received, "detected": detected, "committed": at}

    def trim(self, tail: float, received: float) -> None:
        """The caller's last sound was so many seconds before where the voice detector heard the last voice."""
        if self.spoke is not None:
            self.spoke -= tail
            self.moments["received"] = received

    def played(self, playout: Playout) -> None:
        """The edge tells again and again, and knows better each time what the device takes."""
        if not self.over:
            self.playout = playout
            arrived, played = playout.sent + playout.way, playout.sent + playout.to_the_ear
            self.moments |= {"sent": playout.sent, "arrived": arrived, "played": played, "sounded": played + self.lead}

    def stages(self) -> list[Stage]:
        """Those that came, in order; nothing before the commit."""
        if self.spoke is None:
            return []
        stages, before = [], 0.0
        for name in STAGES:
            moment = self.moments.get(name)
            if moment is not None:
                at = max(before, moment - self.spoke)
                stages.append(Stage(name, at, at - before))
                before = at
        return stages

    @property
    def whole(self) -> float | None:
        """Seconds from the caller's last sound to the agent's first at the caller's ear; None where there was none."""
        stages = self.stages()
        return stages[-1].at if stages and stages[-1].name == "sounded" else None

    def document(self, number: int, outcome: str) -> dict[str, Any]:
        """As the API gives it; times in milliseconds."""
        commit, playout, spoke = self.commit, self.playout, self.spoke
        own = {name: at for name, at in self.moments.items() if name not in STAGES}
        return {
            "turn": number,
            "outcome": outcome,
            "started_ms": _ms(commit.started_s) if commit else None,
            "ended_ms": _ms(commit.ended_s) if commit else None,
            "ended_by": commit.reason.value if commit else None,
            "probability": commit.probability if commit else None,
            "response_ms": None if self.whole is None else _ms(self.whole),
            "played_by": None if playout is None else "device" if playout.by_device else "estimate",
            "stages": [
                {"stage": stage.name, "at_ms": _ms(stage.at), "took_ms": _ms(stage.took)} for stage in self.stages()
            ],
            "marks": {} if spoke is None else {name: _ms(at - spoke) for name, at in own.items()},
        }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
