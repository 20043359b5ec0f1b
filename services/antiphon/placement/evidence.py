"""What is known of where a caller is: its address, as far as proxies can be believed, and what GeoIP says of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import geoip2.database
import geoip2.errors
import maxminddb

from antiphon.errors import ConfigError
from antiphon.placement.geography import Place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from antiphon.cluster import EdgeRecord

_MOST_HOPS = 16


@dataclass(frozen=True)
class Evidence:
    """Where a caller is believed to be; None where no edge is there to compare with."""

    place: Place | None
    how: str
    """In words, for people: how we know."""


class Locator:
    """Finds the place of an address in a MaxMind City file; without a file it knows none."""

    def __init__(self, database: Path | None = None) -> None:
        """Raises ConfigError where the file cannot be used."""
        self._reader: geoip2.database.Reader | None = None
        if database is None:
            return
        try:
            self._reader = geoip2.database.Reader(database)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            raise ConfigError(f"signaling.geoip.city_database: {database} cannot be read: {error}") from None
        kind = self._reader.metadata().database_type
        if "City" not in kind:
            self._reader.close()
            raise ConfigError(f"signaling.geoip.city_database: {database} is a {kind}, not a City file")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.close()

    def find(self, address: str) -> tuple[Place, str] | None:
        """The place, and its name in words. None for loopback, private and unknown addresses."""
        if self._reader is None:
            return None
        try:
            city = self._reader.city(address)
        except (geoip2.errors.AddressNotFoundError, ValueError):
            return None
        latitude, longitude = city.location.latitude, city.location.longitude
        if latitude is None or longitude is None:
            return None
        name = ", ".join(part for part in (city.city.name, city.country.iso_code) if part) or "a known place"
        return Place(latitude, longitude), name


def gather(address: str, asked: str | None, edges: Sequence[EdgeRecord], locator: Locator) -> Evidence:
    """A region that the caller asks for counts most, then GeoIP, then the first region by name."""
    regions = {edge.region: Place(edge.latitude, edge.longitude) for edge in edges}
    if asked in regions:
        return Evidence(regions[asked], f"region {asked} asked for")
    note = f"no edge in region {asked}, which was asked for; " if asked else ""
    if found := locator.find(address):
        return Evidence(found[0], f"{note}GeoIP says {found[1]}")
    if not regions:
        return Evidence(None, f"{note}no region has an edge")
    first = min(regions)
    return Evidence(regions[first], f"{note}the caller's place is unknown: region {first}, the first")


def caller_address(peer: str, forwarded_for: str, trusted: Sequence[str]) -> str:
    """The caller's address: the last one in X-Forwarded-For that no trusted proxy stands at.

    Each proxy appends whom it heard from, so the list is believed from its end, and only as far as proxies are ours.
    """
    networks = [ipaddress.ip_network(network) for network in trusted]
    address = peer
    for hop in reversed(forwarded_for.split(",")[-_MOST_HOPS:]):
        if not _within(address, networks):
            break
        try:
            address = str(ipaddress.ip_address(hop.strip()))
        except ValueError:
            break
    return address


def _within(address: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks if network.version == parsed.version)
