"""Two regions and a caller far apart: real processes in network namespaces, joined by the impairer's long paths.

Milliseconds from one to the other, one way:

    caller --15- virginia        home: Valkey, signaling and the worker
    caller --25- frankfurt
    caller, virginia, frankfurt --20-- home
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from antiphon.cluster.embedded import valkey_program
from tests.cluster.fleet import AGENTS, PLACES, Part
from tests.support import impaired
from tests.support.cluster import BUSY, START_SECONDS
from tests.support.namespaces import namespace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.namespaces import Namespace

KEY_ID, SECRET = "continents", "a-secret-of-the-tests-own"
ADDRESSES = {"home": "10.78.0.1", "frankfurt": "10.78.0.2", "virginia": "10.78.0.3"}
"""On each site's loopback device, so that every path leads there."""
PATHS = (
    ("frankfurt", "home", 20),
    ("virginia", "home", 20),
    ("caller", "home", 20),
    ("caller", "frankfurt", 25),
    ("caller", "virginia", 15),
)


@dataclass(frozen=True)
class Continents:
    namespaces: Mapping[str, Namespace]
    edges: Mapping[str, Part]
    """By region."""
    url: str = f"http://{ADDRESSES['home']}:8080"

    def call(self, agent: str, seconds: float) -> subprocess.Popen[str]:
        """`antiphon call` at the caller's; it prints JSON at its end."""
        command = ("call", "--json", "--agent", agent, "--seconds", str(seconds), "--url", self.url)
        with self.namespaces["caller"].entered():
            return subprocess.Popen(
                (sys.executable, "-m", "antiphon.cli", *command, "--token", f"{KEY_ID}.{SECRET}"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=_clean(),
            )

    def get(self, path: str) -> Any:
        with self.namespaces["home"].entered():
            response = httpx.get(
                f"{self.url}{path}", headers={"Authorization": f"Bearer {KEY_ID}.{SECRET}"}, timeout=10, trust_env=False
            )
        response.raise_for_status()
        return response.json()


@contextmanager
def continents(folder: Path) -> Iterator[Continents]:
    with ExitStack() as stack:
        spaces = {name: stack.enter_context(namespace(name[:4])) for name in (*ADDRESSES, "caller")}
        for name, address in ADDRESSES.items():
            spaces[name].address("lo", f"{address}/32")
        for number, (left, right, delay) in enumerate(PATHS, 1):
            _join(stack, spaces, number, left, right, delay)
        with spaces["home"].entered():
            valkey = _valkey(folder)
        stack.callback(valkey.wait)
        stack.callback(valkey.kill)
        parts = _parts(folder)
        for where, part in parts.items():
            with spaces[where.split("/")[0]].entered():
                part.start()
            stack.callback(part.kill)
        for where, part in parts.items():
            with spaces[where.split("/")[0]].entered():
                part.wait_ready()
        made = Continents(spaces, {where.split("/")[0]: part for where, part in parts.items() if "edge" in where})
        deadline = time.monotonic() + START_SECONDS
        while len(made.get("/v1/edges")["edges"]) < len(made.edges) or not made.get("/v1/workers")["workers"]:
            assert time.monotonic() < deadline, "the cluster did not come together"
            time.sleep(0.1)
        yield made


def _join(stack: ExitStack, spaces: Mapping[str, Namespace], number: int, left: str, right: str, delay: int) -> None:
    ends = f"to-{right}"[:15], f"to-{left}"[:15]
    stack.enter_context(impaired.routed(spaces[left], ends[0], spaces[right], ends[1], up=f"delay={delay}ms"))
    for host, (here, there) in enumerate(((left, right), (right, left)), 1):
        spaces[here].address(ends[host - 1], f"10.78.{number}.{host}/24")
        if there in ADDRESSES:
            source = ("src", ADDRESSES[here]) if here in ADDRESSES else ()
            spaces[here].ip("route", "add", ADDRESSES[there], "via", f"10.78.{number}.{3 - host}", *source)


def _parts(folder: Path) -> dict[str, Part]:
    """By namespace and kind."""
    home = ADDRESSES["home"]
    shared = {
        "ANTIPHON_CLUSTER_SECRET": secrets.token_hex(16),
        "ANTIPHON_AUTH__MODE": "keys",
        "ANTIPHON_AUTH__API_KEYS": json.dumps({KEY_ID: SECRET}),
        "ANTIPHON_REDIS__URL": f"redis://{home}:6379/0",
        **BUSY,
    }
    worker = {"ID": "worker-0", "HOST": home, "HTTP_PORT": 4102}
    parts = {
        "home/worker": Part("worker-0", ("worker", str(AGENTS)), shared | _env("WORKER", worker), 4102, folder / "w")
    }
    for region in ("frankfurt", "virginia"):
        address, (latitude, longitude) = ADDRESSES[region], PLACES[region]
        edge = {"ID": f"edge-{region}", "HOST": address, "CONTROL_HOST": address, "HTTP_PORT": 4002}
        edge |= {"PROBE_HOST": address, "PROBE_PORT": 4003}
        place = {"NAME": region, "LATITUDE": latitude, "LONGITUDE": longitude}
        env = shared | _env("EDGE", edge) | _env("REGION", place)
        parts[f"{region}/edge"] = Part(f"edge-{region}", ("edge",), env, 4002, folder / region)
    signaling = {"ID": "signaling-0", "HOST": "0.0.0.0", "PORT": 8080}
    parts["home/signaling"] = Part(
        "signaling-0", ("signaling",), shared | _env("SIGNALING", signaling), 8080, folder / "signaling"
    )
    return parts


def _env(section: str, values: Mapping[str, Any]) -> dict[str, str]:
    return {f"ANTIPHON_{section}__{key}": str(value) for key, value in values.items()}


def _clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}


def _valkey(folder: Path) -> subprocess.Popen[bytes]:
    listens = ("--bind", ADDRESSES["home"], "--port", "6379", "--protected-mode", "no", "--save", "")
    return subprocess.Popen(
        (valkey_program(), *listens, "--dir", str(folder)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
