"""What happened in the cluster, from the bounded stream that lua/ writes at each change of state."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from antiphon.ids import room_name

if TYPE_CHECKING:
    from antiphon.cluster.functions import Functions

_MOST_AT_ONCE = 256
START = "0-0"
"""Before the first event."""


@dataclass(frozen=True, slots=True)
class Event:
    """`type` is session.created, room.opened, edge.left and so on; `data` says whose it is and why."""

    id: str
    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Events after one, the oldest first."""

    events: tuple[Event, ...]
    last: str
    """The id to go on after, which may be of an event that was not asked for."""
    gap: bool
    """Whether events between may have been dropped: the stream keeps the newest."""


class Events:
    """Reads the stream; all of it is in the cluster's Redis, so that any node goes on where another stopped."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    async def end(self) -> str:
        """The newest event's id, or `START` where there is none. Raises UnavailableError."""
        last: str = json.loads(await self._functions.call("events", "", 0, "", 0))["last"]
        return last

    async def after(self, last: str, *, project: str, members: bool) -> Page:
        """The next of a project's events (of all projects': ""), with those of edges and workers where `members`.

        `last` is an event's id, two numbers with a hyphen. Raises UnavailableError.
        """
        answer = json.loads(await self._functions.call("events", last, _MOST_AT_ONCE, project, int(members)))
        found = answer.get("found") or []
        events = tuple(Event(one["id"], one["type"], data_of(one["data"])) for one in found)
        return Page(events, answer["last"], answer["gap"])


def data_of(text: str) -> dict[str, Any]:
    """Of an event as Redis keeps it: a room by the name that its members know."""
    data = json.loads(text)
    told: dict[str, Any] = data if isinstance(data, dict) else {}
    if "room" in told:
        told["room"] = room_name(told["room"])
    return told
