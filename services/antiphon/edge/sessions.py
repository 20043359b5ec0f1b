"""What this edge knows of its live sessions besides their media: who owns them and at which epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class LiveSession:
    """One session, from its answer to its end."""

    id: str
    epoch: int
    agent: str
    worker: str


class SessionBook:
    """Live sessions by id. The media plane is the authority on whether one lives; the book follows its events."""

    def __init__(self) -> None:
        self._sessions: dict[str, LiveSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(list(self._sessions.values()))

    def opened(self, session: LiveSession) -> None:
        self._sessions[session.id] = session

    def get(self, session_id: str) -> LiveSession | None:
        return self._sessions.get(session_id)

    def moved_to_epoch(self, session_id: str, epoch: int) -> None:
        known = self._sessions.get(session_id)
        if known is not None:
            self._sessions[session_id] = LiveSession(known.id, epoch, known.agent, known.worker)

    def closed(self, session_id: str) -> LiveSession | None:
        """Strikes a session out; None where it was not known."""
        return self._sessions.pop(session_id, None)

    def epochs(self) -> dict[str, int]:
        """Epochs by session id, as the lease renewal wants them."""
        return {session.id: session.epoch for session in self._sessions.values()}
