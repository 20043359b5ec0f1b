"""Calls of functions.lua: loads the library where it is missing (first use, flush, failover) and bounds every wait."""

from __future__ import annotations

import asyncio
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from antiphon import telemetry
from antiphon.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from redis.asyncio.client import PubSub

_SOURCE = files("antiphon.cluster").joinpath("functions.lua").read_text(encoding="utf-8")
# Names carry a hash of the source, so that two versions of Antiphon can share a Redis during an upgrade.
_VERSION = hashlib.sha256(_SOURCE.encode()).hexdigest()[:10]
_LIBRARY = _SOURCE.replace("@VERSION@", _VERSION)

_CALL_S = 3.0
_SOCKET_S = 1.5
_CONNECTIONS = 32  # Redis runs one call at a time; more of them would only wait there instead of here

_SECONDS = telemetry.histogram("cluster_call_seconds", "Time of a call to Redis.", ["function"])
_FAILED = telemetry.counter("cluster_call_failures", "Calls to Redis without an answer.", ["function", "reason"])


class Functions:
    """The library on one Redis. All functions may be repeated safely, so a broken connection is tried once more."""

    def __init__(self, url: str, cell: str) -> None:
        self.prefix = f"{{antiphon:{cell}}}"
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_CALL_S,
            decode_responses=True,
            socket_timeout=_SOCKET_S,
            socket_connect_timeout=_SOCKET_S,
            health_check_interval=10,
            retry=Retry(ConstantBackoff(0.05), 1),
        )
        self._redis: Redis = Redis.from_pool(pool)

        self._work: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        for work in self._work:
            work.cancel()
        if self._work:
            await asyncio.wait(self._work)
        await self._redis.aclose()

    def subscribe(self) -> PubSub:
        """A subscription to membership changes, not yet connected."""
        return self._redis.pubsub(ignore_subscribe_messages=True)

    @property
    def changes(self) -> str:
        """The channel that carries them."""
        return f"{self.prefix}:changes"

    async def call(self, name: str, *args: str | float) -> Any:  # noqa: ANN401
        """Raises UnavailableError where Redis gives no answer in time."""
        try:
            with _SECONDS.labels(name).time():
                return await self._bounded(self._call(name, args))
        except ResponseError as error:
            _FAILED.labels(name, type(error).__name__).inc()
            raise UnavailableError(f"the cluster's Redis refuses {name}: {error}") from None
        except (RedisError, OSError, TimeoutError) as error:
            _FAILED.labels(name, type(error).__name__).inc()
            # The error's own text may hold the address with its password.
            raise UnavailableError(
                f"the cluster's Redis does not answer ({type(error).__name__}); check redis.url and that it runs"
            ) from None

    async def _bounded(self, call: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
        """Waits from outside: redis-py sends under `asyncio.wait_for`, which in Python 3.11 can lose a cancellation."""
        work = asyncio.create_task(call)
        self._work.add(work)
        work.add_done_callback(self._finished)
        try:
            await asyncio.wait((work,), timeout=_CALL_S)
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
            return await self._redis.fcall(function, 1, self.prefix, *args)
        except ReadOnlyError:  # after a failover this connection still leads to what is now a replica
            await self._redis.connection_pool.disconnect()
            return await self._redis.fcall(function, 1, self.prefix, *args)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await self._load()
            return await self._redis.fcall(function, 1, self.prefix, *args)

    async def _load(self) -> None:
        try:
            await self._redis.function_load(_LIBRARY)
        except ResponseError as error:
            if "already exists" not in str(error):  # another node was quicker
                raise
