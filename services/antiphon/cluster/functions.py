"""Calls of the library in lua/: loads it where it is missing (first use, flush, failover) and bounds every wait."""

from __future__ import annotations

import asyncio
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from antiphon import telemetry
from antiphon.cluster.connecting import CALL_S, connect
from antiphon.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from redis.asyncio.client import PubSub

    from antiphon.redis_address import RedisAddress

_FILES = (  # one text: each may use the local functions of those before it
    "library.lua",
    "rooms.lua",
    "slots.lua",
    "sessions.lua",
    "lists.lua",
    "membership.lua",
    "drains.lua",
    "claims.lua",
    "moves.lua",
    "cells.lua",
    "turns.lua",
    "rates.lua",
    "paths.lua",
    "events.lua",
    "webhooks.lua",
    "replies.lua",
)
_SOURCE = "\n".join(files("antiphon.cluster").joinpath("lua", name).read_text(encoding="utf-8") for name in _FILES)
# Names carry a hash of the source, so that two versions of Antiphon can share a Redis during an upgrade.
_VERSION = hashlib.sha256(_SOURCE.encode()).hexdigest()[:10]
_LIBRARY = _SOURCE.replace("@VERSION@", _VERSION)

_SECONDS = telemetry.histogram("cluster_call_seconds", "Time of a call to Redis.", ["function"])
_FAILED = telemetry.counter(
    "cluster_call_failures",
    "Calls to Redis without an answer; the region is all where one Redis serves all.",
    ["function", "reason", "region"],
)
_UP = telemetry.gauge(
    "cluster_redis_up", "1 while the region's Redis answers; the region is all where one Redis serves all.", ["region"]
)


COMMON = "all"
"""The cell of `redis.url`."""


def library_name() -> str:
    """The library's name on a Redis; each version of it has its own."""
    return f"antiphon_{_VERSION}"


def cell_key(cell: str = COMMON) -> str:
    """What all keys of a cell begin with: a hash tag, so that a Redis Cluster has them in one slot."""
    return f"{{antiphon:{cell}}}"


class Functions:
    """The library on one Redis. All functions may be repeated safely, so a broken connection is tried once more."""

    def __init__(self, address: RedisAddress | str, cell: str) -> None:
        self.prefix = cell_key(cell)
        self._cell = cell
        self._up = _UP.labels(cell)
        self._redis = connect(address)
        self._work: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        for work in self._work:
            work.cancel()
        if self._work:
            await asyncio.wait(self._work)
        await self._redis.aclose()

    def subscribe(self) -> PubSub:
        """A subscription to membership changes, not yet connected."""
        return self._redis.pubsub()

    @property
    def changes(self) -> str:
        """The channel that carries them."""
        return f"{self.prefix}:changes"

    async def call(self, name: str, *args: str | float) -> Any:  # noqa: ANN401
        """Raises UnavailableError where Redis gives no answer in time."""
        try:
            with _SECONDS.labels(name).time():
                reply = await self._bounded(self._call(name, args))
        except ResponseError as error:
            _FAILED.labels(name, type(error).__name__, self._cell).inc()
            raise UnavailableError(f"{self._whose} Redis refuses {name}: {error}") from None
        except (RedisError, OSError, TimeoutError) as error:
            _FAILED.labels(name, type(error).__name__, self._cell).inc()
            self._up.set(0)
            setting = "redis.url" if self._cell == COMMON else f"redis.regions.{self._cell}"
            # The error's own text may hold the address with its password.
            raise UnavailableError(
                f"{self._whose} Redis does not answer ({type(error).__name__}); check {setting} and that it runs"
            ) from None
        self._up.set(1)
        return reply

    @property
    def _whose(self) -> str:
        return "the cluster's" if self._cell == COMMON else f"region {self._cell}'s"

    async def _bounded(self, call: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
        """Waits from outside: redis-py sends under `asyncio.wait_for`, which in Python 3.11 can lose a cancellation."""
        work = asyncio.create_task(call)
        self._work.add(work)
        work.add_done_callback(self._finished)
        try:
            await asyncio.wait((work,), timeout=CALL_S)
        finally:
            if not work.done():
                work.cancel()
        if not work.done():
            raise TimeoutError
        return work.result()

    def _finished(self, work: asyncio.Task[Any]) -> None:
        self._work.discard(work)
        if not work.cancelled():
            work.exception()  # nobody waits for it any more, or has it from result()

    async def _call(self, name: str, args: tuple[str | float, ...]) -> Any:  # noqa: ANN401
        function = f"antiphon_{name}_{_VERSION}"
        try:
            return await self._redis.fcall(function, self.prefix, args)
        except ReadOnlyError:  # after a failover this connection still leads to what is now a replica
            await self._redis.reconnect()
            return await self._redis.fcall(function, self.prefix, args)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await self._redis.load(_LIBRARY)
            return await self._redis.fcall(function, self.prefix, args)
