"""Carries the media plane's events into the event loop, woken by its eventfd, and hands each to who minds it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

log = structlog.get_logger(__name__)


class EventSource(Protocol):
    """The part of the media plane that this file needs."""

    @property
    def event_fd(self) -> int: ...
    def take_events(self) -> list[tuple[str, str, dict[str, object]]]: ...


class EventListener(Protocol):
    """Hears of what happened in the media plane, in order."""

    def session_connected(self, session: str, details: Mapping[str, Any]) -> None: ...
    def session_moved(self, session: str, details: Mapping[str, Any]) -> None: ...
    def session_closed(self, session: str, details: Mapping[str, Any]) -> None: ...
    def session_orphaned(self, session: str, details: Mapping[str, Any]) -> None: ...
    def session_taken(self, session: str, details: Mapping[str, Any]) -> None: ...
    def link_up(self, worker: str, details: Mapping[str, Any]) -> None: ...
    def link_down(self, worker: str, details: Mapping[str, Any]) -> None: ...


class EventPump:
    """Reads events while started. `drain` also works after the plane is closed, to hear its last words."""

    def __init__(self, source: EventSource, listener: EventListener) -> None:
        self._source = source
        self._listener = listener
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._source.event_fd, self.drain)

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._source.event_fd)
            self._loop = None

    def drain(self) -> None:
        for kind, subject, details in self._source.take_events():
            try:
                self._hand_over(kind, subject, details)
            except Exception:
                log.exception("event failed", kind=kind, subject=subject)

    def _hand_over(self, kind: str, subject: str, details: Mapping[str, Any]) -> None:
        match kind:
            case "session_connected":
                self._listener.session_connected(subject, details)
            case "session_moved":
                self._listener.session_moved(subject, details)
            case "session_closed":
                self._listener.session_closed(subject, details)
            case "session_orphaned":
                self._listener.session_orphaned(subject, details)
            case "session_taken":
                self._listener.session_taken(subject, details)
            case "link_up":
                self._listener.link_up(subject, details)
            case "link_down":
                self._listener.link_down(subject, details)
            case _:
                log.warning("event of unknown kind", kind=kind, subject=subject)
