"""`antiphon up`: a small cluster of some regions on this machine, each service a process of its own."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import httpx

from antiphon.cli import ports
from antiphon.cli.health import answers, in_url, pings
from antiphon.cli.regions import DEFAULT, Place
from antiphon.cli.supervisor import Child, Supervisor
from antiphon.cluster import Cluster
from antiphon.cluster.embedded import valkey_program
from antiphon.errors import ConfigError
from antiphon.redis_address import parse_redis_url

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon.cli.output import Printer
    from antiphon.config import Config
    from antiphon.redis_address import TlsFiles

BASE_PORT = 4000
_EDGE, _WORKER, _VALKEY = 0, 100, 200
"""Offsets: edges take 4000 to 4004, 4010 to 4014, ...; workers 4100 and 4102, 4110 and 4112, ...; Valkey 4200.
Where one of them is taken, as by an eleventh edge, the next that is free."""


@dataclass(frozen=True)
class Plan:
    """What to bring up. `base_port` 0 means any free ports."""

    port: int = 8080
    base_port: int = BASE_PORT
    redis_url: str | None = None
    agents: tuple[Path, ...] = ()
    shards: int = 1
    workers: int = 1
    regions: tuple[Place, ...] = DEFAULT
    console: bool = True
    redis_per_region: bool = False
    """Whether each region has a Valkey of its own; that of the first is the common one too."""


async def up(plan: Plan, config: Config, printer: Printer) -> None:
    """Runs the cluster until cancelled. Raises AntiphonError when it cannot start."""
    host = config.signaling.host
    port = ports.require(plan.port, host)
    if plan.redis_url is not None:
        await _require_redis(plan.redis_url, config.redis.address.files)
    try:
        with tempfile.TemporaryDirectory(prefix="antiphon-") as scratch:
            async with httpx.AsyncClient(timeout=2.0, trust_env=False) as http, Supervisor(printer) as supervisor:
                await bring_up(Children(plan, scratch, http), supervisor, host, port)
                printer.say(f"Antiphon is ready: http://{in_url(host)}:{port}")
                await asyncio.Event().wait()
    finally:
        printer.say("Stopped")


async def bring_up(children: Children, supervisor: Supervisor, host: str, port: int) -> list[Child]:
    """Starts all, and returns the workers and edges. Raises AntiphonError when it cannot."""
    if children.plan.redis_url is None:
        await supervisor.start(*children.valkeys())
    async with asyncio.TaskGroup() as group:  # they start together, and stop in the reverse of this order
        workers, edges = children.workers(), children.edges()
        group.create_task(supervisor.start(*workers))
        group.create_task(supervisor.start(*edges))
        group.create_task(supervisor.start(children.signaling(host, port)))
    return [*workers, *edges]


async def _require_redis(url: str, files: TlsFiles) -> None:
    """Raises ConfigError, UnavailableError: services would wait for a Redis that a misspelt URL never reaches."""
    try:
        address = parse_redis_url(url).with_files(files)
    except ValueError as error:
        raise ConfigError(f"--redis-url {error}") from None
    async with Cluster(address) as cluster:
        await cluster.members()


@dataclass
class Children:
    """Says how each process of the cluster is started, and what it is told through its environment."""

    plan: Plan
    scratch: str
    http: httpx.AsyncClient
    shared: dict[str, str] = field(init=False)
    _ports: ports.PortPicker = field(init=False)

    def __post_init__(self) -> None:
        self._ports = ports.PortPicker(self.plan.base_port)
        self.shared = {"ANTIPHON_CLUSTER_SECRET": secrets.token_hex(16), "PYTHONUNBUFFERED": "1"}
        if self.plan.redis_url is not None:
            self.shared["ANTIPHON_REDIS__URL"] = self.plan.redis_url

    def valkeys(self) -> list[Child]:
        """The embedded Valkey, or one a region: nothing of it is written to disk."""
        if not self.plan.redis_per_region:
            child, url = self._valkey("valkey", 0)
            self.shared["ANTIPHON_REDIS__URL"] = url
            return [child]
        names = [region.name for region in self.plan.regions]
        children, urls = zip(*(self._valkey(f"valkey-{name}", at) for at, name in enumerate(names)), strict=True)
        self.shared["ANTIPHON_REDIS__URL"] = urls[0]
        self.shared["ANTIPHON_REDIS__REGIONS"] = json.dumps(dict(zip(names, urls, strict=True)))
        return list(children)

    def _valkey(self, name: str, number: int) -> tuple[Child, str]:
        port = self._ports.pick(_VALKEY + number)
        command = (valkey_program(), "--port", str(port), "--bind", "127.0.0.1", "--dir", self.scratch)
        quiet = ("--save", "", "--appendonly", "no", "--loglevel", "nothing")
        return Child(name, command + quiet, lambda: pings(port)), f"redis://127.0.0.1:{port}/0"

    def workers(self) -> list[Child]:
        return [self._worker(number) for number in range(self.plan.workers)]

    def edges(self) -> list[Child]:
        return [self._edge(number, region) for number, region in enumerate(self.plan.regions)]

    def signaling(self, host: str, port: int) -> Child:
        env = {"HOST": host, "PORT": str(port), "CONSOLE": str(self.plan.console).lower()}
        child = self._service("signaling", "signaling", port, env, host=host)

        async def ready() -> bool:
            try:
                return await child.ready() and await self._all_listed(f"http://{in_url(host)}:{port}")
            except httpx.TransportError:
                return False

        return replace(child, ready=ready)

    def _worker(self, number: int) -> Child:
        name = "worker" if self.plan.workers == 1 else f"worker-{number}"
        link, http = self._ports.pick(_WORKER + 10 * number), self._ports.pick(_WORKER + 10 * number + 2)
        env = {"ID": name, "PORT": str(link), "HTTP_PORT": str(http), "DRAIN_S": "0"}  # Ctrl-C means now
        return self._service("worker", name, http, env, tuple(str(file) for file in self.plan.agents))

    def _edge(self, number: int, region: Place) -> Child:
        offset = _EDGE + 10 * number
        media = self._ports.pick(offset, "udp")
        tcp, steering = self._ports.pick(offset, "tcp"), self._ports.pick(offset + 3, "udp")
        control, http = self._ports.pick(offset + 1), self._ports.pick(offset + 2)
        probe = self._ports.pick(offset + 4)
        env = {
            "ID": f"edge-{region.name}",
            "PORT": str(media),
            "TCP_PORT": str(tcp),
            "STEERING_PORT": str(steering),
            "CONTROL_PORT": str(control),
            "HTTP_PORT": str(http),
            "PROBE_PORT": str(probe),
            "SHARDS": str(self.plan.shards),
            "DRAIN_S": "0",
        }
        child = self._service("edge", f"edge-{region.name}", http, env)
        place = {"NAME": region.name, "LATITUDE": str(region.latitude), "LONGITUDE": str(region.longitude)}
        return replace(child, env={**child.env, **{f"ANTIPHON_REGION__{key}": value for key, value in place.items()}})

    async def _all_listed(self, url: str) -> bool:
        """Whether signaling knows every edge and worker, so that the first call finds them."""
        for kind, count in (("edges", len(self.plan.regions)), ("workers", self.plan.workers)):
            response = await self.http.get(f"{url}/v1/{kind}")
            if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
                return True  # it does not tell us
            if response.is_error or len(response.json()[kind]) < count:
                return False
        return True

    def _service(
        self,
        section: str,
        name: str,
        http_port: int,
        env: dict[str, str],
        arguments: tuple[str, ...] = (),
        *,
        host: str = "127.0.0.1",
    ) -> Child:
        own = {f"ANTIPHON_{section.upper()}__{key}": value for key, value in env.items()}
        command = (sys.executable, "-m", "antiphon.cli", section, *arguments)
        return Child(name, command, answers(self.http, host, http_port), {**self.shared, **own})
