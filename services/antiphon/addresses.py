"""Addresses that callers reach an edge by, as people write them in the configuration (`edge.advertise`)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal, cast

Transport = Literal["udp", "tcp"]

_PORTS = range(1, 65536)
_EXPECTED = "expected 192.0.2.1, 192.0.2.1:4000, [2001:db8::1]:4000, or one of these behind udp: or tcp:"


@dataclass(frozen=True)
class Advertised:
    """One address for answers. Port 0 stands for the port that the edge listens on."""

    transport: Transport
    address: str
    port: int = 0


def parse_advertised(text: str) -> tuple[Advertised, ...]:
    """Reads an entry of `edge.advertise`.

    `192.0.2.1` is this address over UDP and TCP on the edge's own ports; `tcp:192.0.2.1` over one of them;
    `192.0.2.1:5000` is UDP on another port than the edge's, as a NAT may map it, and `tcp:192.0.2.1:443` likewise.
    Raises ValueError with what is wrong and what is right.
    """
    match = _split(text)
    if match is None:
        msg = f"{text!r} is no address that callers can be told: {_EXPECTED}"
        raise ValueError(msg)
    transport, address, port = match
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified or ip.is_multicast:
        msg = f"{text!r} is no address that a caller can send to: name the one that callers reach this edge by"
        raise ValueError(msg)
    if port is not None and port not in _PORTS:
        msg = f"{text!r} has port {port}: ports are 1 to 65535, and without one the edge's own is taken"
        raise ValueError(msg)
    if transport is None and port is None:
        return (Advertised("udp", str(ip)), Advertised("tcp", str(ip)))
    return (Advertised(transport or "udp", str(ip), port or 0),)


def _split(text: str) -> tuple[Transport | None, str, int | None] | None:
    """The transport, the IP address and the port as written; None when there is no IP address."""
    rest, transport = text, None
    for known in ("udp", "tcp"):
        if text.startswith(f"{known}:"):
            rest, transport = text[len(known) + 1 :], known
    if is_ip(rest):  # before colons are taken for a port's: IPv6 has its own
        return cast("Transport | None", transport), rest, None
    match = re.fullmatch(r"(?:\[(?P<v6>[^\]]*)\]|(?P<v4>[^:]*))(?::(?P<port>\d{1,6}))?", rest)
    if match is None or not is_ip(address := match["v6"] or match["v4"] or ""):
        return None
    port = match["port"]
    return cast("Transport | None", transport), address, None if port is None else int(port)


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def host_port(host: str, port: int) -> str:
    """`host:port`, with brackets where IPv6 needs them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
