"""What the machine wants done. `at_s` is the session's second at which it was decided."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """What ended a turn."""

    END_OF_TURN = "end_of_turn"
    """Silence, as long as the end-of-turn model thought right."""
    SILENCE = "silence"
    """Silence alone."""
    WORDS = "words"
    """Silence, as long as the recognised words asked for."""
    COMMAND = "command"
    """`commit`, or the talk button was let go."""
    LONGEST = "longest"
    """It lasted as long as a turn may."""


class Cause(Enum):
    """Why a turn was taken back."""

    WENT_ON = "went_on"
    """The caller went on before anything of the answer was heard."""
    CLEARED = "cleared"
    """By command."""
    NOISE = "noise"
    """It was a sound without words."""
    EMPTY = "empty"
    """The talk button was touched, and nothing said."""


@dataclass(frozen=True, slots=True)
class TurnStarted:
    at_s: float
    began_s: float
    """Where the caller's voice began."""


@dataclass(frozen=True, slots=True)
class AskEnd:
    """Is the turn over? Wants an EndAnswer."""

    at_s: float


@dataclass(frozen=True, slots=True)
class AskKind:
    """What is this sound? Wants a KindAnswer."""

    at_s: float
    since_s: float


@dataclass(frozen=True, slots=True)
class Tentative:
    """The turn seems over: a speculative reply may begin. A Committed or a Withdrawn follows."""

    at_s: float
    started_s: float
    ended_s: float
    """End of the caller's last voice."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The turn, tentative or committed, was none."""

    at_s: float
    cause: Cause
    committed: bool


@dataclass(frozen=True, slots=True)
class Committed:
    """The caller's turn is over."""

    at_s: float
    started_s: float
    ended_s: float
    """End of the caller's last voice."""
    tentative_s: float
    """When it first seemed over."""
    reason: Reason
    probability: float | None
    """What the end-of-turn model said last."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What is being said shall pause."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Resume:
    """What was held goes on where it was held."""

    at_s: float
    mistaken: bool
    """Whether what held it was nobody's voice, from which the edge learns."""


@dataclass(frozen=True, slots=True)
class Release:
    """What the edge noticed, and nothing was held for, was no voice: it learns from that."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Flush:
    """What is being said is cut: the caller has the floor."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Idle:
    """Nobody has said anything for a while."""

    at_s: float
    count: int
    """From 1, since the caller's last turn."""


@dataclass(frozen=True, slots=True)
class AgentLate:
    """The agent owes a reply for so long that silence should be filled."""

    at_s: float


Action = (
    TurnStarted | AskEnd | AskKind | Tentative | Withdrawn | Committed | Hold | Resume | Release | Flush | Idle
    | AgentLate
)  # fmt: skip
