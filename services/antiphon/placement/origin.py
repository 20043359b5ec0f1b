"""Where a request comes from: the caller's address and what a CDN says of its place, as far as proxies are ours."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from antiphon.placement.geography import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from antiphon.config import GeoIPConfig

_MOST_HOPS = 16
_FORWARDED_FOR = re.compile(r'\bfor\s*=\s*("(?:[^"\\]|\\.)*"|[^;,\s]+)', re.IGNORECASE)

# One provider's headers are believed, the one that the configuration names: others may come from the caller itself.
LOCATION_HEADERS: dict[str, tuple[str, ...]] = {
    "none": (),
    "cloudflare": ("cf-iplatitude", "cf-iplongitude"),
    "cloudfront": ("cloudfront-viewer-latitude", "cloudfront-viewer-longitude"),
    "vercel": ("x-vercel-ip-latitude", "x-vercel-ip-longitude"),
    "appengine": ("x-appengine-citylatlong",),
}


@dataclass(frozen=True)
class Origin:
    """Who asks. `place` is a CDN's word."""

    address: str
    place: Place | None = None
    provider: str = ""
    """Whose word."""


NOBODY = Origin("")


def origin_of(peer: str, headers: Mapping[str, str], config: GeoIPConfig) -> Origin:
    """headers: values by lower-case name, repeated ones joined with commas."""
    text = headers.get(config.forwarded_header, "")
    hops = forwarded_for(text) if config.forwarded_header == "forwarded" else text
    address = caller_address(peer, hops, config.trusted_proxies)
    if not _trusted(peer, config.trusted_proxies):
        return Origin(address)
    place = _location([headers.get(name, "") for name in LOCATION_HEADERS[config.location_headers]])
    return Origin(address, place, config.location_headers if place else "")


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


def forwarded_for(header: str) -> str:
    """The `for` addresses of a Forwarded header (RFC 7239) as X-Forwarded-For lists them, without their ports.

    A hop without an address (`unknown`, `_hidden`, or no `for` at all) stays as a word that is none, so that nothing
    before it is believed.
    """
    hops = []
    for element in _elements(header)[-_MOST_HOPS:]:
        found = _FORWARDED_FOR.search(element)
        node = found[1].strip('"').replace("\\", "") if found else "unknown"
        hops.append(node[1 : node.find("]")] if node.startswith("[") and "]" in node else _without_port(node))
    return ",".join(hops)


def _elements(header: str) -> list[str]:
    """Splits at commas outside of quotes."""
    elements, quoted = [""], False
    for at, character in enumerate(header):
        if character == '"' and header[at - 1 : at] != "\\":
            quoted = not quoted
        if character == "," and not quoted:
            elements.append("")
        else:
            elements[-1] += character
    return elements


def _without_port(node: str) -> str:
    return node.partition(":")[0] if node.count(":") == 1 else node


def _location(values: Sequence[str]) -> Place | None:
    numbers = ",".join(values).split(",")
    try:
        latitude, longitude = (float(number) for number in numbers)
    except ValueError:
        return None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        return None
    return Place(latitude, longitude)


def _trusted(address: str, trusted: Sequence[str]) -> bool:
    return _within(address, [ipaddress.ip_network(network) for network in trusted])


def _within(address: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks if network.version == parsed.version)


def joined(names: Sequence[str], values_of: Callable[[str], Sequence[str]]) -> dict[str, str]:
    """Headers by name as `origin_of` takes them, repeated ones joined in their order."""
    return {name: ",".join(values_of(name)) for name in names}
