"""What this edge knows of its live sessions besides their media: who owns them and at which epoch."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_ENDED = 10_000


@dataclass(frozen=True, slots=True)
class LiveSession:
    """One session, from its answer to its end."""

    id: str
    epoch: int
    agent: str
    worker: str
    project: str = ""
    owner: str = ""
    metadata: str = ""
    caller: str = ""
    """As OpenSession said: another worker is told the same."""
    trace: str = ""
    """What led to it, as a `traceparent`; empty where nothing did."""
    room: str = ""
    """The room that it is in, by its name in the cluster; empty for none."""


class SessionBook:
    """Live sessions by id. The media plane is the authority on whether one lives; the book follows its events."""

    def __init__(self) -> None:
        self._sessions: dict[str, LiveSession] = {}
        self._ended: dict[str, int] = {}
        self._rooms: dict[str, set[str]] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(list(self._sessions.values()))

    def opened(self, session: LiveSession) -> None:
        self._leave_room(self._sessions.get(session.id))
        self._sessions[session.id] = session
        if session.room:
            self._rooms.setdefault(session.room, set()).add(session.id)
        self._empty.clear()

    def get(self, session_id: str) -> LiveSession | None:
        return self._sessions.get(session_id)

    def in_room(self, room: str) -> list[LiveSession]:
        """The members of a room, by id; also those that are not connected yet."""
        return [self._sessions[session] for session in sorted(self._rooms.get(room, ()))]

    def _leave_room(self, session: LiveSession | None) -> None:
        if session is not None and session.room:
            members = self._rooms[session.room]
            members.discard(session.id)
            if not members:
                del self._rooms[session.room]

    def moved_to_epoch(self, session_id: str, epoch: int) -> None:
        known = self._sessions.get(session_id)
        if known is not None:
            self._sessions[session_id] = replace(known, epoch=epoch)

    def served_by(self, session_id: str, worker: str) -> None:
        known = self._sessions.get(session_id)
        if known is not None:
            self._sessions[session_id] = replace(known, worker=worker)

    def closed(self, session_id: str) -> LiveSession | None:
        """Strikes a session out; None where it was not known."""
        known = self._sessions.pop(session_id, None)
        self._leave_room(known)
        if known is not None:
            self._ended.pop(session_id, None)  # its place in the order is its last end's
            self._ended[session_id] = known.epoch
            if len(self._ended) > _MOST_ENDED:
                del self._ended[next(iter(self._ended))]
        if not self._sessions:
            self._empty.set()
        return known

    def ended_at(self, session_id: str) -> int:
        """The epoch of a session that ended here not long ago, else 0."""
        return self._ended.get(session_id, 0)

    async def wait_empty(self) -> None:
        """Returns when no session lives."""
        await self._empty.wait()

    def epochs(self) -> dict[str, int]:
        """Epochs by session id, as the lease renewal wants them."""
        return {session.id: session.epoch for session in self._sessions.values()}
