"""One step of the machine in the making: the state as it changes, and what is to be done. It keeps to the table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from antiphon.turns.actions import Action
    from antiphon.turns.policy import TurnPolicy
    from antiphon.turns.states import Agent, Caller, State
    from antiphon.turns.table import Row


class Work:
    def __init__(self, state: State, policy: TurnPolicy, at_s: float) -> None:
        self.state = replace(state, now_s=at_s) if at_s > state.now_s else state
        self.policy = policy
        self.actions: list[Action] = []
        self.moves: list[Row] = []

    @property
    def now_s(self) -> float:
        return self.state.now_s

    @property
    def caller(self) -> Caller:
        return self.state.caller

    @property
    def agent(self) -> Agent:
        return self.state.agent

    @property
    def interruptible(self) -> bool:
        return self.policy.interruptions != "never"

    def do(self, action: Action) -> None:
        self.actions.append(action)

    def remember(self, **changes: Any) -> None:  # noqa: ANN401 - fields of State, each of its own type
        self.state = replace(self.state, **changes)

    def caller_to(self, row: Row, to: Caller) -> None:
        self._check(row, self.caller, to)
        self.remember(caller=to)

    def agent_to(self, row: Row, to: Agent) -> None:
        self._check(row, self.agent, to)
        self.remember(agent=to)

    def _check(self, row: Row, source: Caller | Agent, target: Caller | Agent) -> None:
        if not isinstance(source, row.sources) or type(target) is not row.target:
            raise AssertionError(f"{row} does not lead from {source} to {target}")
        self.moves.append(row)
