"""Round trips that live calls had, by the caller's network: told by edges, shared by all signaling nodes, fading."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from antiphon.cluster.records import RoundTrip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiphon.cluster.functions import Functions

HALF_LIFE_S = 6 * 3600.0
"""After so long a call counts half: routes change within a day."""
KEEP_S = 4 * HALF_LIFE_S
_LEAST_WEIGHT = (0.25, 2.0)
"""How much must be known: of a prefix one call will do for half a day; of a whole ASN it takes a few."""


class RoundTrips:
    """What the cluster has learned."""

    def __init__(self, functions: Functions, *, half_life_s: float = HALF_LIFE_S) -> None:
        self._functions = functions
        self._half_life_ms = round(half_life_s * 1000)

    async def learn(self, trips: Mapping[str, float]) -> int:
        """trips: ms by session id. Returns how many could be learned from. Raises UnavailableError."""
        flat = [value for session, ms in trips.items() for value in (session, round(ms, 2))]
        return int(await self._functions.call("learn", self._half_life_ms, round(KEEP_S * 1000), *flat))

    async def learned(self, networks: Sequence[str]) -> dict[str, RoundTrip]:
        """By region: of the first network, the narrowest, that enough is known of. Raises UnavailableError."""
        if not networks:
            return {}
        reply = json.loads(await self._functions.call("learned", self._half_life_ms, *networks))
        found: dict[str, RoundTrip] = {}
        for place, network in enumerate(networks):
            least = _LEAST_WEIGHT[min(place, len(_LEAST_WEIGHT) - 1)]
            for region, (ms, weight) in (reply.get(network) or {}).items():
                if weight >= least and region not in found:
                    found[region] = RoundTrip(ms=float(ms), weight=float(weight), network=network)
        return found
