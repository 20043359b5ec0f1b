"""The planet: forty regions, callers of its cities with their providers, and the round trips that are true of them.

Truth is drawn once from a seed: each provider of a city has its own detour to each region, so that the nearest on the
globe is often not the nearest on the network. What placement is told of it is the business of callers.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from antiphon.cli.regions import KNOWN
from antiphon.placement import Place, distance_km
from loadtest.planet.cities import CITIES

if TYPE_CHECKING:
    from random import Random

    from loadtest.planet.cities import City

REGIONS = {name: Place(*where) for name, where in KNOWN.items()}
WORKER_REGIONS = ("virginia", "oregon", "saopaulo", "frankfurt", "mumbai", "singapore", "tokyo")
PROVIDERS = 5
"""In each city, of unequal size: the first has half of what is left, and so on."""
_FIBRE_KM_PER_MS = 200.0
_LEAST_DETOUR = 1.05
_DETOUR, _DETOUR_SPREAD = 1.45, 0.22
_BACKBONE_DETOUR = 1.25
_ACCESS_MS, _ACCESS_SPREAD = 8.0, 0.6


@dataclass(frozen=True)
class Network:
    """A provider in a city. Its name is what round trips are learned by."""

    name: str
    city: City
    trips_ms: dict[str, float]
    """To each region, without the caller's own access."""

    @cached_property
    def place(self) -> Place:
        return Place(self.city.latitude, self.city.longitude)


@dataclass(frozen=True)
class World:
    """All that is true."""

    networks: tuple[tuple[Network, ...], ...]
    """By city, as CITIES lists them."""
    links_ms: dict[str, dict[str, float]]
    """From an edge's region to a worker's."""


def make_world(random: Random) -> World:
    networks = tuple(tuple(_network(city, number, random) for number in range(PROVIDERS)) for city in CITIES)
    links = {
        region: {
            worker: 1.0 + _path_ms(REGIONS[region], REGIONS[worker], _BACKBONE_DETOUR) for worker in WORKER_REGIONS
        }
        for region in REGIONS
    }
    return World(networks, links)


def access_ms(random: Random) -> float:
    """The round trip of a caller's own access: Wi-Fi, a mobile network, a modem."""
    return random.lognormvariate(math.log(_ACCESS_MS), _ACCESS_SPREAD)


def _network(city: City, number: int, random: Random) -> Network:
    place = Place(city.latitude, city.longitude)
    trips = {
        region: _path_ms(place, where, max(_LEAST_DETOUR, random.lognormvariate(math.log(_DETOUR), _DETOUR_SPREAD)))
        for region, where in REGIONS.items()
    }
    return Network(f"{city.name}/{number}", city, trips)


def _path_ms(a: Place, b: Place, detour: float) -> float:
    return 2 * distance_km(a, b) * detour / _FIBRE_KM_PER_MS
