"""Tells Redis how sessions ended, for as long as that takes: a call's end must not wait, nor its record be lost."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from antiphon.errors import AntiphonError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

log = structlog.get_logger(__name__)


class Remembered(Protocol):
    """A session as Redis remembers it."""

    async def release(self, epoch: int, outcome: Mapping[str, Any], /, *, lost: bool, edge: str) -> object: ...


class Releaser(Protocol):
    """The part of the cluster that this file needs."""

    def session(self, session: str, /) -> Remembered: ...


@dataclass(frozen=True, slots=True)
class Release:
    session: str
    epoch: int
    outcome: Mapping[str, Any] = field(default_factory=dict)
    lost: bool = False
    """Whether its caller may come back: its worker is lost, or sent it away."""
    edge: str = ""
    """Which edge says so."""


class Releases:
    """A bounded queue with one patient consumer."""

    def __init__(
        self, cluster: Releaser, *, most: int = 10_000, pause: float = 0.2, longest_pause: float = 5.0
    ) -> None:
        """most: releases kept while Redis is away; the oldest are given up (their leases expire by themselves)."""
        self._cluster = cluster
        self._queue: deque[Release] = deque()
        self._most = most
        self._pause = pause
        self._longest_pause = longest_pause
        self._arrived = asyncio.Event()
        self.done = 0
        self.given_up = 0
        self.retries = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, release: Release) -> None:
        if len(self._queue) >= self._most:
            self._queue.popleft()
            self.given_up += 1
        self._queue.append(release)
        self._arrived.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self._work_off()

    async def finish(self, seconds: float) -> None:
        """Works off what is left, for at most so long. Call it when `run` is cancelled."""
        try:
            async with asyncio.timeout(seconds):
                await self._work_off()
        except TimeoutError:
            self.given_up += len(self._queue)
            log.warning("releases given up: their leases will expire", count=len(self._queue))

    async def _work_off(self) -> None:
        pause = self._pause
        since: float | None = None
        while self._queue:
            release = self._queue[0]
            try:
                await self._cluster.session(release.session).release(
                    release.epoch, release.outcome, lost=release.lost, edge=release.edge
                )
            except UnavailableError as error:
                self.retries += 1
                if since is None:
                    since = time.monotonic()
                    log.warning("cannot release sessions: trying on", error=str(error), waiting=len(self._queue))
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._longest_pause)
                continue
            except AntiphonError as error:  # a newer owner has the session: its end is not ours to tell
                self.refused += 1
                log.info("release refused", session=release.session, epoch=release.epoch, reason=str(error))
            else:
                self.done += 1
            if self._queue and self._queue[0] is release:  # the bound may have pushed it out meanwhile
                self._queue.popleft()
            pause = self._pause
            if since is not None:
                log.info("releasing sessions again", seconds=round(time.monotonic() - since, 1))
                since = None
