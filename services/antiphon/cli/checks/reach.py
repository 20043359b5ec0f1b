"""Addresses that callers are told: who can reach them, and whether the edge's own probes answer there."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING

import httpx

from antiphon.addresses import Advertised, host_port, parse_advertised
from antiphon.cli.checks.check import Check, ok, warning
from antiphon.client.probing import probe

if TYPE_CHECKING:
    from antiphon.config import EdgeConfig

_ANSWER_S = 2.0


def check_advertised(config: EdgeConfig) -> list[Check]:
    """One for each address, the best first."""
    told = config.advertised or tuple(one for host in config.hosts for one in parse_advertised(host))
    return [_advertised(one) for one in told if one.transport == "udp" or config.tcp]


def _advertised(one: Advertised) -> Check:
    ip = ipaddress.ip_address(one.address)
    name = f"{one.transport.upper()} {one.address}"
    todo = "Set edge.advertise to the address that callers reach this edge by."
    if ip.is_loopback:
        return warning("edge.advertise", f"{name} is loopback", "Only callers on this machine reach it.", todo)
    if ip.is_link_local:
        return warning("edge.advertise", f"{name} is link-local", "Only callers on the same link reach it.", todo)
    if not ip.is_global:
        means = "Only callers of the same network reach it, which may be what you want."
        return warning("edge.advertise", f"{name} is private", means, todo)
    return ok("edge.advertise", f"{name} is public")


async def check_reached(config: EdgeConfig, *, running: bool) -> list[Check]:
    """Connects to what callers are told over TCP; over UDP a media port answers nobody whom it does not expect."""
    own = config.port if config.tcp_port is None else config.tcp_port
    told = config.advertised or tuple(one for host in config.hosts for one in parse_advertised(host))
    addresses = [host_port(one.address, one.port or own) for one in told if one.transport == "tcp" and config.tcp]
    if not running or not own:
        return []
    return list(await asyncio.gather(*(_connects(address) for address in addresses)))


async def _connects(address: str) -> Check:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_ANSWER_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except (OSError, TimeoutError) as error:
        return _silent("edge.advertise", f"TCP {address}", type(error).__name__)
    writer.close()
    return ok("edge.advertise", f"TCP {address} can be connected to")


async def check_probes(config: EdgeConfig, *, running: bool) -> list[Check]:
    """Asks the edge's probes at the addresses that clients are told. Nothing where it is configured to answer none."""
    if config.probe_port is None:
        return [ok("edge.probe_port", "not set: this edge answers no probes")]
    own = host_port(config.probe_host, config.probe_port)
    url, stun = config.probe_url or f"http://{own}", config.probe_stun or _media(config) or own
    if not running or not config.probe_port:
        return [ok("edge.probe_url", f"{url} was not tried: no edge answers here")]
    return [await _http(url), await _stun(stun)]


def _media(config: EdgeConfig) -> str:
    """Where the media port answers probes; empty where it does not, or on a port that nobody knows before it runs."""
    told = config.advertised or tuple(one for host in config.hosts for one in parse_advertised(host))
    ports = [(one.address, one.port or config.port) for one in told if one.transport == "udp"]
    answers = config.stun_probe != "off" and ports and ports[0][1]
    return host_port(*ports[0]) if answers else ""


async def _http(url: str) -> Check:
    try:
        async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as http:
            status = (await http.get(url)).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _silent("edge.probe_url", url, type(error).__name__)
    return ok("edge.probe_url", f"{url} answers") if status < 400 else _silent("edge.probe_url", url, f"HTTP {status}")


async def _stun(address: str) -> Check:
    found = await probe({"": address}, longest_s=_ANSWER_S)
    if not found:
        return _silent("edge.probe_stun", address, "no answer over UDP")
    return ok("edge.probe_stun", f"{address} answers in {found['']:.1f} ms")


def _silent(setting: str, where: str, what: str) -> Check:
    means = "Clients may not reach this edge; or this machine cannot reach its own public address, as behind some NATs."
    todo = "Ask it from another network; check the firewall, the NAT or balancer, and the setting."
    return warning(setting, f"{where}: {what}", means, todo)
