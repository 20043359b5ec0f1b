"""How often one address and one key may ask: counted in Redis for the whole cluster, and in this node besides.

This node's own count spares Redis what it would refuse anyway, and stands alone while Redis is away: a caller then has
its rate at each node, instead of in the cluster.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections import OrderedDict
from typing import TYPE_CHECKING

from antiphon import telemetry
from antiphon.errors import OverLimitError, UnavailableError
from antiphon.signaling.metrics import RATE_REFUSALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiphon.access import Identity
    from antiphon.clock import Clock
    from antiphon.cluster import Cluster
    from antiphon.config_auth import LimitsConfig

    Rates = Sequence[tuple[str, float, int]]
    """Name, seconds between requests, burst."""

_log = telemetry.get_logger("signaling")
_PATIENCE_S = 0.25
"""A request does not wait longer to be counted."""
_AWAY_S = 1.0
"""How long Redis is not asked after it gave no answer."""
_MOST_SUBJECTS = 50_000
_IPV6_PREFIX = 64
"""An IPv6 caller has a /64 to itself."""


_WORDS = {"address": "address", "key": "key", "subject": "token's subject", "tokens": "key's tokens"}


class Limiter:
    """Admits requests, or says when to come again."""

    def __init__(self, cluster: Cluster, limits: LimitsConfig, clock: Clock) -> None:
        self._cluster = cluster
        self._address = (1 / limits.per_address.per_second, limits.per_address.burst)
        self._key = (1 / limits.per_key.per_second, limits.per_key.burst)
        self._subject = (1 / limits.per_subject.per_second, limits.per_subject.burst)
        self._clock = clock
        self._local = LocalRates(clock)
        self._away_until = 0.0

    async def admit(self, address: str, who: Identity | None) -> None:
        """`who` is None where no key or token was good. Raises OverLimitError."""
        rates = [(f"address:{network(address)}", *self._address)]
        if who is not None and who.grants is None:
            rates.append((f"key:{who.key}", *self._key))
        elif who is not None:  # browsers that ask too often do not take from the server that has the key
            subject = hashlib.sha256(who.subject.encode()).hexdigest()[:32]
            rates.append((f"subject:{who.project}:{subject}", *self._subject))
            rates.append((f"tokens:{who.key}", *self._key))
        wait_s, which = self._local.admit(rates)
        if not wait_s and self._clock.monotonic() >= self._away_until:
            wait_s, which = await self._in_cluster(rates)
        if wait_s:
            whose = rates[which][0].partition(":")[0]
            RATE_REFUSALS.labels(whose).inc()
            raise OverLimitError(
                f"too many requests of this {_WORDS[whose]}: come again in {wait_s:.1f} s",
                what="too_many_requests",
                retry_after=wait_s,
            )

    async def _in_cluster(self, rates: Rates) -> tuple[float, int]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._cluster.admit(*rates)
        except (UnavailableError, TimeoutError) as error:
            _log.warning("requests are counted by this node alone", error=str(error) or type(error).__name__)
            self._away_until = self._clock.monotonic() + _AWAY_S
            return 0.0, 0


class LocalRates:
    """The same in this process (GCRA): by name, when a subject has used up nothing any more. The quiet go first."""

    def __init__(self, clock: Clock, most: int = _MOST_SUBJECTS) -> None:
        self._clock = clock
        self._most = most
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._free_at)

    def admit(self, rates: Rates) -> tuple[float, int]:
        """As Cluster.admit."""
        now = self._clock.monotonic()
        free_at: dict[str, float] = {}
        for place, (name, interval_s, burst) in enumerate(rates):
            at = max(now, self._free_at.get(name, now)) + interval_s
            wait_s = at - now - burst * interval_s
            if wait_s > 1e-6:  # less is rounding
                return wait_s, place
            free_at[name] = at
        for name, at in free_at.items():
            self._free_at[name] = at
            self._free_at.move_to_end(name)
        while len(self._free_at) > self._most:
            self._free_at.popitem(last=False)
        return 0.0, 0


def network(address: str) -> str:
    """Whom an address counts as: IPv4 itself, also where it is written as IPv6; of IPv6 the /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)
