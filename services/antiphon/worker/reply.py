"""An agent's answer to a turn: said until it loses the floor; to a tentative turn, not before the commit."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from antiphon.frames import CLOCK_RATE
from antiphon.worker.speaker import name_of_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from antiphon.worker.audio import Packet
    from antiphon.worker.turn import Turn

_MOST_AHEAD = 2 * CLOCK_RATE
"""So much of a reply is made while it must not be said yet."""

_reply: ContextVar[Reply | None] = ContextVar("reply", default=None)


def current_reply() -> Reply | None:
    """The reply that this code is part of; None outside of replies, where speech may always be said."""
    return _reply.get()


@dataclass(eq=False, slots=True)
class Reply:
    """Once it lost the floor, nothing more of it is said."""

    turn: Turn
    spoke: bool = False
    lost: str | None = None
    task: asyncio.Task[None] | None = None
    _decided: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        if not self.turn.tentative:
            self._decided.set()

    def take_floor(self) -> str | None:
        """Returns why it may not speak, or None."""
        self.spoke = self.spoke or self.lost is None
        return self.lost

    def lose(self, reason: str) -> None:
        self.lost = self.lost or reason
        self._decided.set()

    def withdraw(self) -> None:
        """Its turn was none."""
        self.lose("withdrawn")
        self.cancel()

    def confirm(self) -> None:
        """Its turn is committed: what it says may leave."""
        if self.turn.commitment is not None:
            self.turn.commitment.set()
        self._decided.set()

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Code that runs within is part of this reply."""
        token = _reply.set(self)
        try:
            yield
        finally:
            _reply.reset(token)

    @asynccontextmanager
    async def ready(self, packets: AsyncIterator[Packet]) -> AsyncIterator[AsyncIterator[Packet]]:
        """Packets that may be said: at once, or once the turn is committed, made ahead until then."""
        if self._decided.is_set():
            yield packets
            return
        made: deque[Packet] = deque()
        making = asyncio.create_task(self._make(packets, made), name=name_of_task())
        try:
            await self._decided.wait()
            yield _after(made, making, packets)
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)

    async def _make(self, packets: AsyncIterator[Packet], made: deque[Packet]) -> bool:
        """Returns whether all was made. Stops between two packets, once the turn is decided or enough is made."""
        length = 0
        async for packet in packets:
            made.append(packet)
            length += packet.duration
            if self._decided.is_set() or length >= _MOST_AHEAD:
                return False
        return True


async def _after(
    made: deque[Packet], making: asyncio.Task[bool], packets: AsyncIterator[Packet]
) -> AsyncIterator[Packet]:
    """What was made, and what is still to be made."""
    while made or not making.done():
        if made:
            yield made.popleft()
        else:
            await asyncio.wait((making,))
    if not making.result():
        async for packet in packets:
            yield packet
