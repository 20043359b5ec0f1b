"""Events shared by several nodes: each goes to one of them, and to another where that one fell silent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from antiphon.cluster.events import Event, data_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from antiphon.cluster.functions import Functions

IDLE_S = 60.0
"""Who holds an event for so long without a word has died."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Events that are now this consumer's to see to."""

    events: tuple[Event, ...]
    dropped: int
    """So many that somebody held are no longer kept: the stream keeps the newest."""
    gap: bool
    """Whether others may have gone before anybody took them."""
    more: bool
    """Whether there was something, and there may be more."""


class EventGroup:
    """A consumer group of the stream that functions write. All methods raise UnavailableError."""

    def __init__(
        self,
        functions: Functions,
        name: str,
        consumer: str,
        *,
        project: str,
        members: bool,
        idle_s: float = IDLE_S,
    ) -> None:
        self._functions = functions
        self._who = (name, consumer)
        self._idle_ms = round(idle_s * 1000)
        self._whose = (project, int(members))
        self._begins = "$"

    async def take(self, most: int) -> Taken:
        """About as many as `most`: of new ones so many, and so many that others let fall.

        A group that there was not begins with what happens from now on; one whose memory was lost, with all there is.
        """
        answer = json.loads(
            await self._functions.call("take", *self._who, most, self._idle_ms, *self._whose, self._begins)
        )
        self._begins = "0"
        found = answer.get("found") or []
        events = tuple(Event(one["id"], one["type"], data_of(one["data"])) for one in found)
        return Taken(events, int(answer["dropped"]), bool(answer["gap"]), int(answer["read"]) >= most)

    async def keep(self, ids: Iterable[str]) -> None:
        """Still at work on them."""
        await self._functions.call("keep", *self._who, *ids)

    async def done(self, ids: Iterable[str]) -> None:
        """They need not go to anybody again."""
        await self._functions.call("done", self._who[0], *ids)
