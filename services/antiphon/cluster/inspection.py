"""Looks at a Redis without changing it: what it is, how its clock stands, whether it takes our functions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from antiphon.cluster.connecting import connect
from antiphon.cluster.functions import cell_key, library_name
from antiphon.errors import UnavailableError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from antiphon.redis_address import RedisAddress


@dataclass(frozen=True)
class RedisFacts:
    """What a Redis says of itself."""

    server: str
    """redis or valkey."""
    version: tuple[int, ...]
    round_trip_ms: float
    clock_offset_ms: float
    """How far this machine's clock is ahead of its clock, give or take half a round trip."""
    eviction: str
    """What it does when its memory is full; `noeviction` keeps everything."""
    functions: str
    """loaded, missing (they are loaded at first use), or the words that it refuses them with."""


async def inspect_redis(address: RedisAddress | str) -> RedisFacts:
    """Raises UnavailableError, whose words never hold the URL's password."""
    connections = connect(address)
    try:
        client = await connections.server(cell_key())
        info: dict[str, Any] = await client.info()
        began, wall = time.monotonic(), time.time()
        seconds, microseconds = await client.time()
        took_s = time.monotonic() - began
        functions = await _functions(client)
    except (RedisError, OSError, TimeoutError) as error:
        raise UnavailableError(f"it does not answer as it should ({type(error).__name__})") from None
    finally:
        await connections.aclose()
    valkey = info.get("server_name") == "valkey"
    version = str(info.get("valkey_version" if valkey else "redis_version", "0"))
    return RedisFacts(
        server="valkey" if valkey else "redis",
        version=tuple(int(part) for part in version.split(".") if part.isdigit()),
        round_trip_ms=1000 * took_s,
        clock_offset_ms=1000 * (wall + took_s / 2 - (int(seconds) + int(microseconds) / 1e6)),
        eviction=str(info.get("maxmemory_policy", "noeviction")),
        functions=functions,
    )


async def _functions(client: Redis) -> str:
    try:
        listed = await client.function_list(library=library_name())
    except ResponseError as error:
        return str(error)
    return "loaded" if listed else "missing"
