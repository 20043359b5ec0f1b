"""Callers through a day: when and where they call, how long, and what placement knows of them."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, NamedTuple

from antiphon.cluster import RoundTrip
from antiphon.placement import Evidence, Place
from loadtest.planet.cities import CITIES
from loadtest.planet.world import PROVIDERS, REGIONS, access_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from random import Random

    from antiphon.placement import Link
    from loadtest.planet.world import Network, World

Knowledge = Literal["geoip", "learned", "measured"]
"""The best that there is of a caller; what is less is there too."""

DAY_S = 86_400
CALL_S = 300.0
"""Mean length of a call; lengths are exponential."""
HALF_LIFE_S = 6 * 3600.0
_MOST_WEIGHT = 32.0
_QUIET = 0.12
"""Of the busiest hour's calls, those of the quietest."""
_SLACK_MS = 20.0
_LONGEST_MS = 150.0


class Call(NamedTuple):
    at_s: float
    length_s: float
    network: Network
    access_ms: float

    def trip_ms(self, region: str) -> float:
        return self.network.trips_ms[region] + self.access_ms


def activity(longitude: float, at_s: float) -> float:
    """How much people call by their sun's time: least at four in the night, most at four in the afternoon."""
    hour = (at_s / 3600 + longitude / 15) % 24
    awake: float = (0.5 - 0.5 * math.cos((hour - 4) / 24 * 2 * math.pi)) ** 1.5
    return _QUIET + (1 - _QUIET) * awake


def a_day(world: World, count: int, random: Random) -> Iterator[Call]:
    """`count` calls in the order of time, where and when people are awake."""
    hours = 96
    step = DAY_S / hours
    weights = [
        [city.millions * activity(city.longitude, (slot + 0.5) * step) for city in CITIES] for slot in range(hours)
    ]
    total = sum(map(sum, weights))
    shares = list(accumulate(2.0**-number for number in range(PROVIDERS)))
    for slot, by_city in enumerate(weights):
        sums = list(accumulate(by_city))
        for at in sorted(
            random.uniform(slot * step, (slot + 1) * step) for _ in range(round(count * sums[-1] / total))
        ):
            (city,) = random.choices(world.networks, cum_weights=sums)
            (network,) = random.choices(city, cum_weights=shares)
            yield Call(at, random.expovariate(1 / CALL_S), network, access_ms(random))


class Learned:
    """What calls have taught, by network and region: the arithmetic of cluster/paths.lua."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, tuple[float, float, float]]] = {}

    def learn(self, network: str, region: str, ms: float, now: float) -> None:
        regions = self._known.setdefault(network, {})
        mean, weight, at = regions.get(region, (0.0, 0.0, now))
        faded = weight * 0.5 ** ((now - at) / HALF_LIFE_S)
        regions[region] = ((mean * faded + ms) / (faded + 1), min(faded + 1, _MOST_WEIGHT), now)

    def of(self, network: str) -> dict[str, RoundTrip]:
        return {
            region: RoundTrip(mean, weight, network)
            for region, (mean, weight, _) in self._known.get(network, {}).items()
        }


def evidence(call: Call, best: Knowledge, learned: Learned, links: Mapping[str, Link], random: Random) -> Evidence:
    """What placement would have of this call."""
    place = _geoip(call.network, random)
    if best == "geoip":
        return Evidence(place, "", links=links)
    known = learned.of(call.network.name)
    measured = _measure(call, random) if best == "measured" else {}
    return Evidence(place, "", measured=measured, learned=known, links=links)


def _geoip(network: Network, random: Random) -> Place:
    """Nine in ten are placed in their city, some in a neighbour, one in fifty in any city of the world."""
    luck = random.random()
    if luck < 0.02:
        wrong = random.choice(CITIES)
        return Place(wrong.latitude, wrong.longitude)
    spread = 0.4 if luck < 0.92 else 4.0
    return Place(
        max(-89.0, min(89.0, random.gauss(network.city.latitude, spread))), random.gauss(network.city.longitude, spread)
    )


def _measure(call: Call, random: Random) -> dict[str, float]:
    """As the SDK does: all at once, and none is waited for that takes more than twice as long as the first."""
    trips = {region: call.trip_ms(region) + abs(random.gauss(0, 1.5)) for region in REGIONS}
    limit = min(_LONGEST_MS, 2 * min(trips.values()) + _SLACK_MS)
    return {region: ms for region, ms in trips.items() if ms <= limit}
