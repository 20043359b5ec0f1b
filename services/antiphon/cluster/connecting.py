"""Connections to one Redis, to the primary that Sentinels name, or to a Redis Cluster, used alike.

What is called over them, and what becomes of errors, is functions.py's business.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError, ResponseError

from antiphon.redis_address import RedisAddress, parse_redis_url

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub

CALL_S = 3.0
SOCKET_S = 1.5
_CONNECTIONS = 32  # Redis runs one call at a time; more of them would only wait there instead of here


class Connections(Protocol):
    """What the library of functions needs of a Redis. All raise RedisError, OSError, TimeoutError."""

    async def fcall(self, function: str, key: str, args: tuple[str | float, ...]) -> Any:  # noqa: ANN401
        """Where the key is."""
        ...

    async def load(self, library: str) -> None:
        """Wherever functions may be called. That it is there already is no error."""
        ...

    async def reconnect(self) -> None:
        """What was the primary is one no more."""
        ...

    def pubsub(self) -> PubSub:
        """A new subscription, not yet connected."""
        ...

    async def server(self, key: str) -> Redis:
        """The one server that has the key, for questions about itself."""
        ...

    async def aclose(self) -> None: ...


def connect(address: RedisAddress | str) -> Connections:
    """Nothing is sent yet. Raises ValueError."""
    found = parse_redis_url(address) if isinstance(address, str) else address
    match found.kind:
        case "one":
            return _Single(_direct(found))
        case "sentinel":
            return _Guarded(found)
        case "cluster":
            return _Sharded(found)


def _common() -> dict[str, Any]:
    return {
        "decode_responses": True,
        "socket_timeout": SOCKET_S,
        "socket_connect_timeout": SOCKET_S,
        "health_check_interval": 10,
        "retry": Retry(ConstantBackoff(0.05), 1),
    }


def _tls(address: RedisAddress) -> dict[str, Any]:
    """An authority, also the system's, must have signed what the server shows, and for its name."""
    if not address.tls:
        return {}
    files = {
        "ssl_ca_certs": address.files.authority,
        "ssl_certfile": address.files.certificate,
        "ssl_keyfile": address.files.key,
    }
    return {"ssl_check_hostname": True} | {name: path for name, path in files.items() if path}


def _direct(address: RedisAddress) -> Redis:
    options = {**_tls(address), **_common()}
    pool = BlockingConnectionPool.from_url(address.url, max_connections=_CONNECTIONS, timeout=CALL_S, **options)
    return Redis.from_pool(pool)


class _Single:
    """One server, whoever leads there."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def fcall(self, function: str, key: str, args: tuple[str | float, ...]) -> Any:  # noqa: ANN401
        return await self._redis.fcall(function, 1, key, *args)

    async def load(self, library: str) -> None:
        await _load(self._redis, library)

    async def reconnect(self) -> None:
        await self._redis.connection_pool.disconnect()

    def pubsub(self) -> PubSub:
        return self._redis.pubsub(ignore_subscribe_messages=True)

    async def server(self, key: str) -> Redis:
        del key
        return self._redis

    async def aclose(self) -> None:
        await self._redis.aclose()


class _Guarded(_Single):
    """The primary that Sentinels name, asked for again with each new connection."""

    def __init__(self, address: RedisAddress) -> None:
        secured = {"ssl": address.tls, **_tls(address)} if address.tls else {}
        options = {**secured, **_common()}
        own = {"username": address.sentinel_username, "password": address.sentinel_password}
        self._sentinel = Sentinel(address.hosts, sentinel_kwargs={**options, **own})  # type: ignore[no-untyped-call]
        account: dict[str, Any] = {"username": address.username, "password": address.password, "db": address.database}
        super().__init__(self._sentinel.master_for(address.service, **options, **account))
        self._places = asyncio.Semaphore(_CONNECTIONS)  # this pool does not wait for a free connection

    async def fcall(self, function: str, key: str, args: tuple[str | float, ...]) -> Any:  # noqa: ANN401
        async with self._places:
            return await super().fcall(function, key, args)

    async def aclose(self) -> None:
        await super().aclose()
        for sentinel in self._sentinel.sentinels:
            await sentinel.aclose()


class _Sharded:
    """A Redis Cluster. All that a call touches has the hash tag of its key, and with it one primary."""

    def __init__(self, address: RedisAddress) -> None:
        self._options = {
            **_common(),
            **({"ssl": True, **_tls(address)} if address.tls else {}),
            "username": address.username,
            "password": address.password,
        }
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        self._cluster = RedisCluster(startup_nodes=nodes, max_connections=2 * _CONNECTIONS, **self._options)
        self._first = address.hosts[0]
        self._places = asyncio.Semaphore(_CONNECTIONS)  # its pools do not wait for a free connection
        self._servers: dict[tuple[str, int], Redis] = {}

    async def fcall(self, function: str, key: str, args: tuple[str | float, ...]) -> Any:  # noqa: ANN401
        async with self._places:
            return await self._cluster.fcall(function, 1, key, *args)

    async def load(self, library: str) -> None:
        """On every primary: slots may come to any of them, and replicas have what their primary has."""
        await self._cluster.initialize()
        failed: Exception | None = None
        for node in self._cluster.get_primaries():
            try:
                await _load(self._server(str(node.host), int(node.port)), library)
            except (RedisError, OSError, TimeoutError) as error:
                failed = error  # the others need it all the same
        if failed is not None:
            raise failed

    async def reconnect(self) -> None:
        await self._cluster.aclose()  # the next call asks who has which slots

    def pubsub(self) -> PubSub:
        """What is published at one node reaches those who listen at any."""
        nodes = [(str(node.host), int(node.port)) for node in self._cluster.get_nodes()]
        host, port = nodes[0] if nodes else self._first
        return self._server(host, port).pubsub(ignore_subscribe_messages=True)

    async def server(self, key: str) -> Redis:
        await self._cluster.initialize()
        node = self._cluster.get_node_from_key(key)
        host, port = self._first if node is None else (str(node.host), int(node.port))
        return self._server(host, port)

    async def aclose(self) -> None:
        for server in self._servers.values():
            await server.aclose()
        await self._cluster.aclose()

    def _server(self, host: str, port: int) -> Redis:
        return self._servers.setdefault((host, port), Redis(host=host, port=port, **self._options))


async def _load(redis: Redis, library: str) -> None:
    try:
        await redis.function_load(library)
    except ResponseError as error:
        if "already exists" not in str(error):  # another node was quicker
            raise
