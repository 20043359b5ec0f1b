"""The states of a conversation's two sides, and what the machine remembers besides. Values.

`_s` are seconds of session time; of the caller's audio unless a field says "decided at".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from antiphon.turns.voice import Echo
from antiphon.turns.words import Ending

if TYPE_CHECKING:
    from antiphon.turns.actions import Reason
    from antiphon.turns.voice import Kind

# the caller


@dataclass(frozen=True, slots=True)
class Aside:
    """A back-channel that was let pass."""

    since_s: float
    voice_s: float


@dataclass(frozen=True, slots=True)
class Quiet:
    """No turn is open."""

    free_s: float = 0.0
    """Decided at: the floor has been free since."""
    aside: Aside | None = None


@dataclass(frozen=True, slots=True)
class Onset:
    """Something is heard. It is not known whether it is voice."""

    since_s: float
    voice_s: float | None
    """End of its voice; None: the edge alone noticed something."""
    noticed_s: float | None = None
    """Decided at: when the edge did."""


@dataclass(frozen=True, slots=True)
class Contested:
    """Voice, while the agent speaks or is about to. It is not known whether it wants the floor."""

    since_s: float
    voice_s: float
    opened_s: float
    """Decided at."""
    again_s: float
    """When to ask (again) what it is; decided at."""
    asked_s: float | None = None
    """The question that waits for its answer; decided at."""
    over: bool = False
    """Whether the sound has ended; then it is asked one last time."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A sound that does not want the floor goes on."""

    since_s: float
    voice_s: float
    kind: Kind | None
    again_s: float
    asked_s: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A caller's turn so far."""

    started_s: float
    opened_s: float
    """Where its last stretch started: a turn that goes on after it was withdrawn has several."""
    voice_s: float
    """End of its last voice."""
    voiced_s: float
    """How much of the stretch was voice."""
    ending: Ending = Ending.OPEN
    """What its words say of its end."""
    pressed: bool = False
    """The talk button is held down: silence ends nothing."""
    cuts: bool = False
    """It cut what the agent said: whatever it was, somebody has to go on."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the models said of the caller's silence."""

    again_s: float
    """Silence since then is asked about (again)."""
    end_asked_s: float | None = None
    end: float | None = None
    kind_asked_s: float | None = None


@dataclass(frozen=True, slots=True)
class Talking:
    """The caller speaks."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Paused:
    """The caller is silent in a turn."""

    turn: Turn
    asked: Asked


@dataclass(frozen=True, slots=True)
class Tentative:
    """The turn seems over: a speculative reply may think."""

    turn: Turn
    asked: Asked
    since_s: float
    """Decided at."""
    stirred_s: float | None = None
    """Where voice began again that is too short yet to count."""
    stirred_end_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Awaiting:
    """The turn is over, but frames of it are under way."""

    turn: Turn
    tentative_s: float
    reason: Reason
    end: float | None
    not_before_s: float
    """Decided at, as the next."""
    until_s: float


Caller = Quiet | Onset | Contested | Ignored | Talking | Paused | Tentative | Awaiting
Open = Talking | Paused | Tentative | Awaiting

# the agent


@dataclass(frozen=True, slots=True)
class Silent:
    """The agent has nothing to say."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """The agent owes a reply, or more of it."""

    since_s: float
    """Decided at."""
    turn: Turn | None
    """What it replies to; None once some of the reply was heard: that turn stands."""
    late: bool = False
    """Whether it was told that it is late."""


@dataclass(frozen=True, slots=True)
class Speaking:
    """An utterance is played."""


@dataclass(frozen=True, slots=True)
class Held:
    """It is paused: the caller may want the floor, or (yielded) has it."""

    yielded: bool = False


Agent = Silent | Thinking | Speaking | Held


@dataclass(frozen=True, slots=True)
class State:
    caller: Caller = field(default_factory=Quiet)
    agent: Agent = field(default_factory=Silent)
    now_s: float = 0.0
    heard_s: float = 0.0
    """End of the last window that was judged."""
    quiet_s: float = 0.0
    """Until then all is known: judged, or nothing came."""
    expected: bool = False
    """The edge says that the caller speaks, so the detector need not be sure."""
    echo: Echo = Echo.UNTOLD
    said_s: float = float("-inf")
    """Decided at: the agent's last utterance was over."""
    pauses: tuple[float, ...] = ()
    """The caller's last pauses within turns."""
    replying: bool = False
    """Whether the agent's code is at work on a reply."""
    missing: int = 0
    missing_wait_s: float = 0.0
    floor_until_s: float = 0.0
    """The caller was given time to think until then."""
    calm_s: float = 0.0
    """Decided at: both sides have been silent since."""
    idles: int = 0
    """How often they were told so."""
    yields: int = 0
    """How often the agent gave way since it last finished what it said."""
