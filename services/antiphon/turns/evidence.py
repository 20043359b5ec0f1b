"""What the machine is told. Each piece is stamped with the session's second at which it became known.

Audio lies on the same time line, by its own timestamps: `start_s`, `end_s` and the like are earlier than `at_s`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon.turns.voice import Echo, Kind
    from antiphon.turns.words import Ending


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of audio was judged for voice."""

    at_s: float
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Clock:
    """Time passes."""

    at_s: float
    received_s: float
    """End of the last frame that came, judged or not."""


@dataclass(frozen=True, slots=True)
class EndAnswer:
    """How likely it is that the turn is over; None: no model, or too busy."""

    at_s: float
    asked_s: float
    """`at_s` of the AskEnd; an answer to a question that is no longer of interest changes nothing."""
    probability: float | None


@dataclass(frozen=True, slots=True)
class KindAnswer:
    """What the caller's sound is; None: cannot be told (yet)."""

    at_s: float
    asked_s: float
    kind: Kind | None


@dataclass(frozen=True, slots=True)
class Words:
    """What was recognised of the caller's words so far, as the rules judge it."""

    at_s: float
    ending: Ending
    interrupts: bool
    """Whether they want the floor: more than a back-channel."""


@dataclass(frozen=True, slots=True)
class Hint:
    """The edge's ear, by levels: the caller begins to speak, or has stopped."""

    at_s: float
    onset: bool
    held: bool
    """Whether the edge holds playout because of it."""


@dataclass(frozen=True, slots=True)
class EchoState:
    """What the edge knows of the agent's voice coming back from the caller."""

    at_s: float
    echo: Echo


@dataclass(frozen=True, slots=True)
class AgentStarts:
    """The first frame of an utterance is on its way."""

    at_s: float


@dataclass(frozen=True, slots=True)
class AgentEnds:
    """An utterance is over, played or cut."""

    at_s: float


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The agent's code has nothing more to say to the last turn."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Missing:
    """How many frames of the open turn may still come."""

    at_s: float
    frames: int
    wait_s: float
    """For how long they are worth waiting for."""


@dataclass(frozen=True, slots=True)
class Commit:
    """By command: the caller's turn is over."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Clear:
    """By command: the caller's turn is to be forgotten."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Talk:
    """The caller presses the talk button, or lets it go."""

    at_s: float
    begins: bool


@dataclass(frozen=True, slots=True)
class HoldFloor:
    """The caller is given time to think: no turn ends before."""

    at_s: float
    seconds: float


Evidence = (
    Window | Clock | EndAnswer | KindAnswer | Words | Hint | EchoState | AgentStarts | AgentEnds | ReplyEnded | Missing
    | Commit | Clear | Talk | HoldFloor
)  # fmt: skip
