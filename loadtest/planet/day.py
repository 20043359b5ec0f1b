"""A day of the planet: each call is placed by Antiphon's own placement, with loads a moment old, while regions go down.

Nothing of the network is simulated but round trips; claims are counters with capacities. What placement chose is held
against the best that there was: the region, of those that were up, with the shortest way over its edge to a worker.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from antiphon.cluster import EdgeRecord
from antiphon.placement import Link, policies_named, rank_edges
from loadtest.planet.callers import CALL_S, DAY_S, Learned, a_day, activity, evidence
from loadtest.planet.cities import CITIES
from loadtest.planet.world import PROVIDERS, REGIONS, make_world

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadtest.planet.callers import Call, Knowledge
    from loadtest.planet.world import World

EDGES = 3
"""In each region."""
SPARE = 1.25
"""Room at a region's peak, if each call went to its best region."""
_STALE_S = 0.2
_KNOWLEDGE: tuple[Knowledge, ...] = ("measured", "learned", "geoip")
_SHARES = (0.6, 0.3, 0.1)


@dataclass(frozen=True)
class Outage:
    region: str
    from_s: float
    to_s: float


OUTAGES = (
    Outage("mumbai", 6 * 3600, 7 * 3600),
    Outage("frankfurt", 13 * 3600, 14 * 3600),
    Outage("virginia", 19 * 3600, 20 * 3600),
)


class Placed(NamedTuple):
    """One placement. Times of the way are round trips in ms, from the caller over the edge to the worker."""

    at_s: float
    knowledge: str
    trip_ms: float
    best_trip_ms: float
    way_ms: float
    best_way_ms: float


@dataclass
class Result:
    placed: list[Placed] = field(default_factory=list)
    refused: int = 0
    moved: int = 0
    """Calls that an outage sent elsewhere."""
    second_choice: int = 0
    """Calls whose first edge was full when they came."""
    uneven: list[tuple[float, float]] = field(default_factory=list)
    """Every ten minutes: seconds, and the fullest edge of a region over its mean, less 1, over regions in use."""
    sessions: list[tuple[float, int]] = field(default_factory=list)


class Day:
    """The cluster's state at a moment of the day."""

    def __init__(self, world: World, count: int, random: Random, outages: Sequence[Outage]) -> None:
        self.result = Result()
        self._world = world
        self._random = random
        self._policies = policies_named("nearest")
        self._links = {region: _nearest(links) for region, links in world.links_ms.items()}
        self._onward_ms = {region: link.ms or 0.0 for region, link in self._links.items()}
        capacities = _capacities(world, count, self._links)
        self._records = {
            f"{region}-{number}": EdgeRecord(
                id=f"{region}-{number}",
                region=region,
                latitude=place.latitude,
                longitude=place.longitude,
                control="",
                media=(),
                capacity=capacities[region],
            )
            for region, place in REGIONS.items()
            for number in range(EDGES)
        }
        self._by_edge = {name: self._links[record.region] for name, record in self._records.items()}
        self._live: dict[str, dict[int, tuple[Call, Knowledge]]] = {name: {} for name in self._records}
        self._seen = dict(self._records)
        self._seen_at = -1.0
        self._changed: set[str] = set()
        self._learned = Learned()
        self._ends: list[tuple[float, int, str]] = []
        self._down: set[str] = set()
        self._switches = sorted(
            [(one.from_s, one.region, True) for one in outages] + [(one.to_s, one.region, False) for one in outages]
        )
        self._number = 0

    def run(self, calls: Iterable[Call]) -> Result:
        tick = 0.0
        for call in calls:
            while tick <= call.at_s:
                self._note(tick)
                tick += 600
            self._pass_to(call.at_s)
            (knowledge,) = self._random.choices(_KNOWLEDGE, _SHARES)
            self._place(call, knowledge, call.at_s)
        return self.result

    def _pass_to(self, now: float) -> None:
        while self._switches and self._switches[0][0] <= now:
            at, region, down = self._switches.pop(0)
            self._end_calls(at)
            (self._down.add if down else self._down.discard)(region)
            if down:
                self._send_elsewhere(region, at)
        self._end_calls(now)

    def _end_calls(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            at, number, edge = heapq.heappop(self._ends)
            found = self._live[edge].pop(number, None)
            if found is None:
                continue
            self._changed.add(edge)
            call, region = found[0], self._records[edge].region
            self._learned.learn(call.network.name, region, call.trip_ms(region) + self._random.gauss(0, 1), at)

    def _send_elsewhere(self, region: str, now: float) -> None:
        for edge in [name for name, record in self._records.items() if record.region == region]:
            cut, self._live[edge] = self._live[edge], {}
            self._changed.add(edge)
            for call, knowledge in cut.values():
                self.result.moved += 1
                self._place(call._replace(length_s=self._random.expovariate(1 / CALL_S)), knowledge, now)

    def _place(self, call: Call, knowledge: Knowledge, now: float) -> None:
        if now - self._seen_at > _STALE_S:
            for edge in self._changed:
                self._seen[edge] = replace(self._records[edge], sessions=len(self._live[edge]))
            self._changed.clear()
            self._seen_at = now
        candidates = [record for record in self._seen.values() if record.region not in self._down]
        known = evidence(call, knowledge, self._learned, self._by_edge, self._random)
        possible = rank_edges(self._policies, known, candidates, self._random).possible
        for at, edge in enumerate(possible):
            if len(self._live[edge]) < self._records[edge].capacity:
                self.result.second_choice += at > 0
                self._take(call, knowledge, edge, now)
                return
        self.result.refused += 1

    def _take(self, call: Call, knowledge: Knowledge, edge: str, now: float) -> None:
        self._number += 1
        self._live[edge][self._number] = (call, knowledge)
        self._changed.add(edge)
        heapq.heappush(self._ends, (now + call.length_s, self._number, edge))
        region = self._records[edge].region
        trips = {one: ms for one, ms in call.network.trips_ms.items() if one not in self._down}
        self.result.placed.append(
            Placed(
                now,
                knowledge,
                call.access_ms + trips[region],
                call.access_ms + min(trips.values()),
                call.access_ms + trips[region] + self._onward_ms[region],
                call.access_ms + min(ms + self._onward_ms[one] for one, ms in trips.items()),
            )
        )

    def _note(self, now: float) -> None:
        uneven = []
        for region in REGIONS:
            loads = [len(self._live[f"{region}-{number}"]) for number in range(EDGES)]
            if sum(loads) >= 20 * EDGES:
                uneven.append(max(loads) * EDGES / sum(loads) - 1)
        if uneven:
            self.result.uneven.append((now, sum(uneven) / len(uneven)))
        self.result.sessions.append((now, sum(map(len, self._live.values()))))


def simulate(count: int, seed: int, outages: Sequence[Outage] = OUTAGES) -> Result:
    """A day with `count` calls. The same seed gives the same day."""
    random = Random(seed)
    world = make_world(random)
    return Day(world, count, random, outages).run(a_day(world, count, random))


def _nearest(links: dict[str, float]) -> Link:
    worker = min(links, key=lambda name: links[name])
    return Link(worker, links[worker])


def _capacities(world: World, count: int, links: dict[str, Link]) -> dict[str, int]:
    """For each edge of a region: a share of what its peak would be if each call went where its way is shortest."""
    shares = [2.0**-number for number in range(PROVIDERS)]
    demand: list[tuple[str, float, float]] = []
    for city, networks in zip(CITIES, world.networks, strict=True):
        for share, network in zip(shares, networks, strict=True):
            best = min(REGIONS, key=lambda region: network.trips_ms[region] + (links[region].ms or 0.0))
            demand.append((best, city.longitude, city.millions * share / sum(shares)))
    hours = [hour * 3600.0 for hour in range(24)]
    by_hour = [dict.fromkeys(REGIONS, 0.0) for _ in hours]
    for at, regions in zip(hours, by_hour, strict=True):
        for region, longitude, weight in demand:
            regions[region] += weight * activity(longitude, at)
    total = sum(sum(regions.values()) for regions in by_hour)
    calls_at_once = count * CALL_S / (DAY_S / len(hours))
    peaks = {region: max(regions[region] for regions in by_hour) / total * calls_at_once for region in REGIONS}
    return {region: max(10, round(SPARE * peak / EDGES)) for region, peak in peaks.items()}
