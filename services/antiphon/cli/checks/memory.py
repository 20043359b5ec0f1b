"""The cluster's memory as seen from this machine: Redis, its functions, and how far the clocks are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.cli.checks.check import Check, failure, ok, warning
from antiphon.cluster import RedisFacts, inspect_redis
from antiphon.errors import UnavailableError

if TYPE_CHECKING:
    from antiphon.config import Config
    from antiphon.redis_address import RedisAddress

_LEAST_VERSION = 7
_CLOCK_WARNING_MS, _CLOCK_FAILURE_MS = 500.0, 5000.0
_SLOW_MS = 20.0


async def check_memory(config: Config) -> list[Check]:
    """Of each Redis. Where one does not answer, one failure says so and the rest is not known."""
    regions = config.redis.addresses
    means = "No call can be placed, and no edge or worker can join. Calls that live go on."
    if regions:
        means = "No room can be joined, no request with an Idempotency-Key answered, and regions without a Redis of "
        means += "their own take no calls. Calls that live go on."
    found = await _check_one("redis.url", "redis", config.redis.address, means)
    for region, address in regions.items():
        means = f"Edges of {region} take no new calls. Calls that live go on, and other regions take new ones."
        found += await _check_one(f"redis.regions.{region}", f"redis of {region}:", address, means)
    return found


async def _check_one(setting: str, name: str, address: RedisAddress, means: str) -> list[Check]:
    try:
        facts = await inspect_redis(address)
    except UnavailableError as error:
        todo = f"Check {setting}, its user and password, the network's rules, and that Redis runs."
        return [failure(setting, f"{address}: {error}", means, todo)]
    clock = "clock" if name == "redis" else f"{name} clock"
    return [
        _server(setting, address, facts),
        _functions(f"{name} functions", facts),
        _eviction(f"{name} maxmemory-policy", facts),
        _clock(clock, facts),
    ]


def _server(setting: str, address: RedisAddress, facts: RedisFacts) -> Check:
    version = ".".join(map(str, facts.version))
    fact = f"{facts.server} {version} at {address} answers in {facts.round_trip_ms:.1f} ms"
    if facts.version < (_LEAST_VERSION,):
        return failure(
            setting, fact, "It has no functions, which Antiphon lives by.", "Use Redis or Valkey 7 or later."
        )
    if facts.round_trip_ms > _SLOW_MS:
        means = "Each set-up waits for a few of these round trips."
        return warning(setting, fact, means, "Bring Redis nearer to signaling, or see what keeps it busy.")
    return ok(setting, fact)


def _functions(subject: str, facts: RedisFacts) -> Check:
    if facts.functions == "loaded":
        return ok(subject, "this version's are loaded")
    if facts.functions == "missing":
        return ok(subject, "this version's are not loaded yet: the first node that starts loads them")
    todo = "Let this user run FUNCTION and FCALL (ACL: +function +fcall); some hosted offers forbid them."
    return failure(subject, f"refused: {facts.functions}", "No node can work with this Redis.", todo)


def _eviction(subject: str, facts: RedisFacts) -> Check:
    if facts.eviction == "noeviction":
        return ok(subject, "noeviction")
    means = "Where its memory is full, Redis forgets sessions and members that live."
    return warning(subject, facts.eviction, means, "Set maxmemory-policy to noeviction.")


def _clock(subject: str, facts: RedisFacts) -> Check:
    offset = facts.clock_offset_ms
    fact = f"{abs(offset):.0f} ms {'ahead of' if offset >= 0 else 'behind'} Redis's"
    if abs(offset) <= _CLOCK_WARNING_MS + facts.round_trip_ms / 2:
        return ok(subject, fact)
    todo = "Keep both machines' clocks by NTP (chrony, systemd-timesyncd)."
    if abs(offset) <= _CLOCK_FAILURE_MS:
        return warning(subject, fact, "Times in logs, traces and the API do not fit together.", todo)
    return failure(subject, fact, "Session tokens are refused as expired or not yet valid.", todo)
