"""Regions that `antiphon up --regions` knows by name, and how others are written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from antiphon.errors import ConfigError

_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,25}[a-z0-9])?$")
MOST = 16

# Cities where clouds have regions; degrees north and east.
KNOWN: dict[str, tuple[float, float]] = {
    "amsterdam": (52.37, 4.9),
    "bahrain": (26.07, 50.56),
    "bogota": (4.71, -74.07),
    "california": (37.35, -121.95),
    "capetown": (-33.92, 18.42),
    "chicago": (41.88, -87.63),
    "dallas": (32.78, -96.8),
    "delhi": (28.61, 77.21),
    "dubai": (25.2, 55.27),
    "dublin": (53.35, -6.26),
    "frankfurt": (50.11, 8.68),
    "hongkong": (22.32, 114.17),
    "iowa": (41.26, -95.86),
    "jakarta": (-6.21, 106.85),
    "johannesburg": (-26.2, 28.05),
    "lagos": (6.52, 3.38),
    "london": (51.51, -0.13),
    "madrid": (40.42, -3.7),
    "melbourne": (-37.81, 144.96),
    "mexico": (20.59, -100.39),
    "milan": (45.46, 9.19),
    "montreal": (45.5, -73.57),
    "mumbai": (19.08, 72.88),
    "nairobi": (-1.29, 36.82),
    "ohio": (39.96, -83.0),
    "oregon": (45.84, -119.7),
    "osaka": (34.69, 135.5),
    "paris": (48.86, 2.35),
    "santiago": (-33.45, -70.67),
    "saopaulo": (-23.55, -46.63),
    "seoul": (37.57, 126.98),
    "singapore": (1.35, 103.82),
    "stockholm": (59.33, 18.07),
    "sydney": (-33.87, 151.21),
    "telaviv": (32.07, 34.79),
    "tokyo": (35.68, 139.69),
    "toronto": (43.65, -79.38),
    "virginia": (38.95, -77.45),
    "warsaw": (52.23, 21.01),
    "zurich": (47.38, 8.54),
}


@dataclass(frozen=True)
class Place:
    """A region of the local cluster."""

    name: str
    latitude: float
    longitude: float


DEFAULT = (Place("frankfurt", 50.11, 8.68), Place("virginia", 38.95, -77.45))


def parse_regions(text: str) -> tuple[Place, ...]:
    """Reads `frankfurt,tokyo,mine=48.1:11.6`. Raises ConfigError with what is wrong and what is right."""
    places = tuple(_parse(part.strip()) for part in text.split(","))
    names = [place.name for place in places]
    if len(set(names)) != len(names):
        raise ConfigError(f"--regions names {next(name for name in names if names.count(name) > 1)} twice")
    if len(places) > MOST:
        raise ConfigError(f"--regions names {len(places)} regions: {MOST} at most, each is a process of this machine")
    return places


def _parse(part: str) -> Place:
    name, found, where = part.partition("=")
    if not _NAME.match(name):
        raise ConfigError(f"--regions has {part!r}: a name is lower-case letters, digits and inner hyphens, 27 at most")
    if not found:
        if name not in KNOWN:
            raise ConfigError(
                f"--regions has {name!r}, whose place is not known: write {name}=latitude:longitude, such as "
                f"{name}=48.1:11.6, or one of {', '.join(KNOWN)}"
            )
        return Place(name, *KNOWN[name])
    try:
        latitude, longitude = (float(number) for number in where.split(":"))
    except ValueError:
        latitude = longitude = float("nan")
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ConfigError(f"--regions has {part!r}: expected degrees north and east, such as {name}=48.1:11.6")
    return Place(name, latitude, longitude)
