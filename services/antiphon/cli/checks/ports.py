"""Ports that a role listens on: free, held by an Antiphon that runs here, or taken by somebody else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from antiphon.addresses import host_port
from antiphon.cli.checks.check import Check, Role, failure, ok
from antiphon.cli.ports import Kind, is_free

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiphon.config import Config

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_ANSWER_S = 2.0


@dataclass(frozen=True)
class Listening:
    """A port as the configuration has it."""

    setting: str
    host: str
    port: int
    kind: Kind


def ports_of(role: Role, config: Config) -> list[Listening]:
    """All that the role listens on; those with port 0 are left out, since any free one will do."""
    edge, worker = config.edge, config.worker
    ports: list[Listening] = []
    if role == "signaling":
        ports.append(Listening("signaling.port", config.signaling.host, config.signaling.port, "tcp"))
    elif role == "worker":
        ports.append(Listening("worker.port", worker.host, worker.port, "tcp"))
        ports.append(Listening("worker.http_port", worker.http_host, worker.http_port, "tcp"))
    else:
        tcp_port = edge.port if edge.tcp_port is None else edge.tcp_port
        for host in edge.hosts:
            ports.append(Listening("edge.port", host, edge.port, "udp"))
            ports += [Listening("edge.tcp_port", host, tcp_port, "tcp")] if edge.tcp else []
        ports.append(Listening("edge.control_port", edge.control_host, edge.control_port, "tcp"))
        ports.append(Listening("edge.http_port", edge.http_host, edge.http_port, "tcp"))
        if edge.steering_port is not None:
            ports.append(Listening("edge.steering_port", edge.steering_host, edge.steering_port, "udp"))
        if edge.probe_port is not None:
            kinds: tuple[Kind, ...] = ("tcp", "udp")
            ports += [Listening("edge.probe_port", edge.probe_host, edge.probe_port, kind) for kind in kinds]
    return [one for one in ports if one.port]


def http_of(role: Role, config: Config) -> tuple[str, int]:
    """Host and port where the role shows its metrics."""
    if role == "signaling":
        return config.signaling.host, config.signaling.port
    section = config.edge if role == "edge" else config.worker
    return section.http_host, section.http_port


async def runs_here(role: Role, config: Config) -> bool:
    """Whether an Antiphon answers where this role would."""
    host, port = http_of(role, config)
    url = f"http://{host_port(_ANY.get(host, host), port)}/metrics"
    try:
        async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as http:
            return "antiphon_" in (await http.get(url)).text
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


async def check_ports(role: Role, config: Config, *, running: bool) -> list[Check]:
    return await asyncio.to_thread(_checked, role, ports_of(role, config), running)


def _checked(role: Role, ports: Sequence[Listening], running: bool) -> list[Check]:  # noqa: FBT001
    return [_check(role, port, running) for port in ports]


def _check(role: Role, one: Listening, running: bool) -> Check:  # noqa: FBT001
    where = f"{one.kind.upper()} {host_port(one.host, one.port)}"
    no_start = "It cannot start."
    try:
        free = is_free(one.port, one.kind, one.host)
    except OSError as error:
        todo = "Give the host that belongs to this setting an address of this machine."
        return failure(one.setting, f"{where} cannot be listened on: {error.strerror or error}", no_start, todo)
    if free:
        return ok(one.setting, f"{where} is free")
    if running:
        return ok(one.setting, f"{where} is held, and Antiphon's {role} answers here")
    tool = "ss -lunp" if one.kind == "udp" else "ss -ltnp"
    low = " Ports below 1024 need the capability CAP_NET_BIND_SERVICE besides." if one.port < 1024 else ""
    todo = f"See who has it by `{tool}`; stop that, or set {one.setting} to another.{low}"
    return failure(one.setting, f"{where} is taken, and no {role} of Antiphon answers here", no_start, todo)
