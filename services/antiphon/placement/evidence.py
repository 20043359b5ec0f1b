"""What is known of a caller's round trips, best first: measured, learned of its network, a place, a region asked for.

Pure. Who measures is the client; what is learned stands in Redis; each arrives here as values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from antiphon.placement.geography import Place, distance_km

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiphon.cluster import EdgeRecord, RoundTrip
    from antiphon.placement.geoip import Locator
    from antiphon.placement.origin import Origin


@dataclass(frozen=True)
class Link:
    """The worker that an edge would reach soonest, and the round trip to it; None where no link was measured."""

    worker: str
    ms: float | None


@dataclass(frozen=True)
class Evidence:
    """What placement goes by. `place` is None where no edge is there to compare with."""

    place: Place | None
    how: str
    """In words, for people: how we know."""
    asked: str = ""
    """The region asked for, where it has an edge."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """Round trips in ms by region, as the client measured them."""
    learned: Mapping[str, RoundTrip] = field(default_factory=dict)
    """By region, as calls of the caller's network had them."""
    links: Mapping[str, Link] = field(default_factory=dict)
    """By edge id."""
    _distances: dict[tuple[float, float], float] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def slowest_ms(self) -> float:
        """The longest round trip that the client measured; 0 where it measured none."""
        return max(self.measured.values(), default=0.0)

    @cached_property
    def farthest_link_ms(self) -> float:
        """The longest round trip to a worker that an edge has measured; 0 where none has."""
        return max((link.ms for link in self.links.values() if link.ms is not None), default=0.0)

    def distance_km(self, edge: EdgeRecord) -> float:
        """From the caller's place to an edge; worked out once for all that stand in one place. 0 without a place."""
        where = (edge.latitude, edge.longitude)
        if where not in self._distances:
            self._distances[where] = distance_km(self.place, Place(*where)) if self.place else 0.0
        return self._distances[where]


def gather(
    origin: Origin,
    edges: Sequence[EdgeRecord],
    locator: Locator,
    *,
    asked: str | None = None,
    measured: Mapping[str, float] | None = None,
    learned: Mapping[str, RoundTrip] | None = None,
    links: Mapping[str, Link] | None = None,
) -> Evidence:
    """Keeps of it what is about regions that have edges."""
    regions = {edge.region: Place(edge.latitude, edge.longitude) for edge in edges}
    trips = {region: ms for region, ms in (measured or {}).items() if region in regions}
    known = {region: trip for region, trip in (learned or {}).items() if region in regions}
    wish = asked if asked in regions else ""
    words = []
    if asked:
        words.append(f"region {asked} asked for" if wish else f"no edge in region {asked}, which was asked for")
    if trips:
        words.append(f"{_counted(trips)} measured by the caller")
    if known:
        words.append(
            f"{_counted(known)} learned from calls of {' and '.join(sorted({t.network for t in known.values()}))}"
        )
    nearest = min({**{r: trip.ms for r, trip in known.items()}, **trips}.items(), key=lambda one: one[1], default=None)
    place, said = _place(origin, regions, locator, nearest[0] if nearest else "", wish or "")
    words += [said] if said else []
    return Evidence(place, "; ".join(words), wish or "", trips, known, links or {})


def _place(
    origin: Origin, regions: Mapping[str, Place], locator: Locator, nearest: str, wish: str
) -> tuple[Place | None, str]:
    """Where the caller is believed to be, for regions that no round trip is known to."""
    if origin.place is not None:
        place = origin.place
        return place, f"{origin.provider} says {place.latitude:.1f}, {place.longitude:.1f}"
    if found := locator.find(origin.address):
        return found[0], f"GeoIP says {found[1]}"
    if nearest:
        return regions[nearest], f"taken to be near {nearest}"
    if wish:
        return regions[wish], ""
    if not regions:
        return None, "no region has an edge"
    first = min(regions)
    return regions[first], f"the caller's place is unknown: region {first}, the first"


def _counted(trips: Mapping[str, object]) -> str:
    return f"round trip to {next(iter(trips))}" if len(trips) == 1 else f"round trips to {len(trips)} regions"
