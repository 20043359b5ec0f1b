"""The machine of turns on its own: tell it a story in session time, and look at what it wants done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from antiphon.turns import State, TurnPolicy, advance, wake_s
from antiphon.turns.actions import Action, AskEnd, AskKind, Committed
from antiphon.turns.evidence import (
    AgentEnds,
    AgentStarts,
    Clock,
    EndAnswer,
    Evidence,
    KindAnswer,
    ReplyEnded,
    Window,
    Words,
)
from antiphon.turns.states import Paused, Tentative
from antiphon.turns.words import EnglishRules

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.turns import Kind

A = TypeVar("A", bound=Action)
WINDOW_S = 0.032


class Told(Protocol):
    """What time passes for."""

    state: State
    policy: TurnPolicy
    now_s: float

    def tell(self, evidence: Evidence) -> None: ...


def pass_time(told: Told, seconds: float) -> None:
    """No frames come for so long; the machine is woken when it wants to be."""
    received_s, until_s = told.now_s, told.now_s + seconds
    while (wake := wake_s(told.state, told.policy)) is not None and wake < until_s:
        told.now_s = max(wake, told.now_s + 0.001)
        told.tell(Clock(told.now_s, received_s))
    told.now_s = until_s
    told.tell(Clock(told.now_s, received_s))


class Story:
    """Audio comes as it is spoken; questions are answered as `end` and `kind` say, at once. Replies take no time.

    `end` may be a function of the second at which the end-of-turn model is asked; `words` is told at that moment what
    was recognised between two seconds.
    """

    def __init__(
        self,
        policy: TurnPolicy | None = None,
        *,
        end: float | Callable[[float], float] | None = None,
        kind: Kind | None = None,
        replies: bool = False,
        words: Callable[[float, float], str] | None = None,
    ) -> None:
        self.words = words
        self.policy = policy or TurnPolicy()
        self.end, self.kind, self.replies = end, kind, replies
        self.state = State()
        self.actions: list[Action] = []
        self.now_s = 0.0

    def tell(self, evidence: Evidence) -> None:
        self.state, actions = advance(self.state, self.policy, evidence)
        self.actions += actions
        for action in actions:
            if isinstance(action, AskEnd):
                end = self.end(self.now_s) if callable(self.end) else self.end
                self.tell(EndAnswer(self.now_s, action.at_s, end))
                self._recognize()
            elif isinstance(action, AskKind):
                self.tell(KindAnswer(self.now_s, action.at_s, self.kind))
            elif isinstance(action, Committed) and not self.replies:
                self.tell(ReplyEnded(self.now_s))

    def _recognize(self) -> None:
        caller = self.state.caller
        if self.words is not None and isinstance(caller, Paused | Tentative):
            verdict = EnglishRules().judge(self.words(caller.turn.started_s, self.now_s))
            self.tell(Words(self.now_s, verdict.ending, verdict.interrupts))

    def hear(self, start_s: float, end_s: float, probability: float) -> None:
        self.now_s = max(self.now_s, end_s)
        self.tell(Window(self.now_s, start_s, end_s, probability))

    def voice(self, seconds: float, probability: float = 0.95) -> None:
        for _ in range(round(seconds / WINDOW_S)):
            self.hear(self.now_s, self.now_s + WINDOW_S, probability)

    def silence(self, seconds: float) -> None:
        self.voice(seconds, 0.02)

    def nothing(self, seconds: float) -> None:
        """No frames come; the machine is woken when it wants to be."""
        pass_time(self, seconds)

    def agent_speaks(self) -> None:
        self.tell(AgentStarts(self.now_s))

    def agent_ends(self) -> None:
        self.tell(AgentEnds(self.now_s))

    def of(self, kind: type[A]) -> list[A]:
        return [action for action in self.actions if isinstance(action, kind)]

    def names(self) -> list[str]:
        """What was wanted done, but for questions."""
        return [type(one).__name__ for one in self.actions if not isinstance(one, AskEnd | AskKind)]
