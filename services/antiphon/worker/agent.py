"""Where an agent's author starts: a Worker, and functions that it knows by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from antiphon.worker.rooms import Room, RoomAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from antiphon.worker.session import Session

    AgentFunction = Callable[[Session], Coroutine[Any, Any, None]]
    RoomFunction = Callable[[Room], Coroutine[Any, Any, None]]
    Agent = AgentFunction | RoomAgent

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class Worker:
    """Names agents. `antiphon worker FILE` serves those of every Worker in the file."""

    def __init__(self) -> None:
        self.agents: dict[str, Agent] = {}

    def agent(self, name: str) -> Callable[[AgentFunction], AgentFunction]:
        """Decorates an async function of a session. It may return once its handlers are registered.

        In a room each member has a run of its own, which hears and speaks to that member only: see `room_agent`.
        """
        self._check(name)

        def register(function: AgentFunction) -> AgentFunction:
            self.agents[name] = function
            return function

        return register

    def room_agent(self, name: str) -> Callable[[RoomFunction], RoomFunction]:
        """Decorates an async function of a room: one run for all its members, from the first to the last of them."""
        self._check(name)

        def register(function: RoomFunction) -> RoomFunction:
            self.agents[name] = RoomAgent(function)
            return function

        return register

    def _check(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"agent name {name!r}: expected lower-case letters, digits and hyphens, 32 at most")
        if name in self.agents:
            raise ValueError(f"agent {name!r} is defined twice")
