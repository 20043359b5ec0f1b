"""A cluster of real processes, each started, signalled and ended by its own: what `antiphon up` does not let one do."""

from __future__ import annotations

import functools
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from antiphon.cli import ports
from antiphon.cli.supervisor import _die_with
from tests.support.clock_shift import ClockShift
from tests.support.cluster import BUSY, Valkey
from tests.support.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Mapping

AGENTS = Path(__file__).with_name("agents.py")
_START_S = 60.0
_STOP_S = 40.0
PLACES = {"frankfurt": (50.11, 8.68), "virginia": (38.95, -77.45), "tokyo": (35.68, 139.69)}


class Part:
    """One process. Its log is in a file of its name."""

    def __init__(self, name: str, command: tuple[str, ...], env: Mapping[str, str], http_port: int, log: Path) -> None:
        self.name = name
        self.log = log
        self._command = (sys.executable, "-m", "antiphon.cli", *command)
        self._env = dict(env)
        self._url = f"http://127.0.0.1:{http_port}/readyz"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=clean | self._env,
                stdout=log,
                stderr=log,
                preexec_fn=functools.partial(_die_with, os.getpid()),  # noqa: PLW1509 - it makes one system call
            )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        while not self._is_ready():
            assert self.lives, f"{self.name} ended:\n{self.log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"{self.name} is not ready:\n{self.log.read_text()[-2000:]}"
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(self._url, timeout=2, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGCONT)
                self._process.kill()
            self._process.wait()

    def wait_ended(self) -> int:
        assert self._process is not None
        return self._process.wait(_STOP_S)

    def text(self) -> str:
        return self.log.read_text(errors="replace")


class Fleet:
    """A context manager: Valkey, or one a region; edges, workers, signaling nodes."""

    def __init__(
        self,
        folder: Path,
        *,
        regions: tuple[str, ...] = ("frankfurt", "virginia"),
        workers: int = 1,
        signaling: int = 1,
        settings: Mapping[str, str] | None = None,
        own: Mapping[str, Mapping[str, str]] | None = None,
        apart: tuple[str, ...] = (),
        redis_per_region: bool = False,
        clocks: bool = False,
    ) -> None:
        """`own` are settings by part. With `redis_per_region` each region has its own, of which the first is the common
        one too. Parts that are `apart` reach Redis, or that of the last region, by a way that can be cut. With
        `clocks`, each part's clock and Valkey's can be set.
        """
        self.clocks: dict[str, ClockShift] = {}

        def clock(name: str) -> dict[str, str]:
            if not clocks:
                return {}
            self.clocks[name] = ClockShift(folder / f"{name}-clock")
            return self.clocks[name].env

        self.valkey = Valkey(folder, clock("valkey"))
        self.valkeys = {regions[0]: self.valkey}
        """By region, where regions have their own."""
        for region in regions[1:] if redis_per_region else ():
            (folder / f"valkey-{region}").mkdir()
            self.valkeys[region] = Valkey(folder / f"valkey-{region}", clock(f"valkey-{region}"))
        self.relay = Relay(list(self.valkeys.values())[-1].port) if apart else None
        self.parts: dict[str, Part] = {}
        self.urls: list[str] = []
        shared = {
            "ANTIPHON_CLUSTER_SECRET": secrets.token_hex(16),
            "ANTIPHON_LOG__LEVEL": "info",
            **BUSY,
            **(settings or {}),
        }
        picker = ports.PortPicker(0)
        settings_of = dict(own or {})

        def add(kind: str, name: str, arguments: tuple[str, ...] = (), **env: Any) -> None:
            http_port = picker.pick(0)
            own = {f"ANTIPHON_{kind.upper()}__{key}": str(value) for key, value in env.items()}
            own[f"ANTIPHON_{kind.upper()}__{'PORT' if kind == 'signaling' else 'HTTP_PORT'}"] = str(http_port)
            place = {}
            if name.removeprefix("edge-") in PLACES:
                region = name.removeprefix("edge-")
                latitude, longitude = PLACES[region]
                values = {"NAME": region, "LATITUDE": str(latitude), "LONGITUDE": str(longitude)}
                place = {f"ANTIPHON_REGION__{key}": value for key, value in values.items()}
            urls = {region: valkey.url for region, valkey in self.valkeys.items()}
            if self.relay is not None and name in apart:
                urls[list(urls)[-1]] = f"redis://127.0.0.1:{self.relay.port}/0"
            place["ANTIPHON_REDIS__URL"] = urls[regions[0]]
            if redis_per_region:
                place["ANTIPHON_REDIS__REGIONS"] = json.dumps(urls)
            place |= {**settings_of.get(name, {}), **clock(name)}
            log = folder / f"{name}.log"
            self.parts[name] = Part(name, (kind, *arguments), {**shared, **own, **place}, http_port, log)
            if kind == "signaling":
                self.urls.append(f"http://127.0.0.1:{http_port}")

        for number in range(workers):
            add("worker", f"worker-{number}", (str(AGENTS),), ID=f"worker-{number}", PORT=picker.pick(0))
        for region in regions:
            media, tcp = picker.pick(0, "udp"), picker.pick(0)
            add("edge", f"edge-{region}", ID=f"edge-{region}", PORT=media, TCP_PORT=tcp, CONTROL_PORT=picker.pick(0))
        for number in range(signaling):
            add("signaling", f"signaling-{number}", ID=f"signaling-{number}")

    @property
    def url(self) -> str:
        return self.urls[0]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self.__exit__)
            for valkey in self.valkeys.values():
                valkey.start()
            for part in self.parts.values():
                part.start()
            for part in self.parts.values():
                part.wait_ready()
            self._wait_for_all()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for part in self.parts.values():
            part.kill()
        for valkey in self.valkeys.values():
            valkey.kill()
        if self.relay is not None:
            self.relay.close()
            self.relay = None

    def restart(self, name: str) -> None:
        self.parts[name].start()
        self.parts[name].wait_ready()

    def ask(self, path: str, url: str = "") -> httpx.Response:
        """Of the first node, or the one at this URL."""
        return httpx.get(f"{url or self.url}{path}", timeout=10, trust_env=False)

    def get(self, path: str, url: str = "") -> Any:
        return self.ask(path, url).json()

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=dict(body), timeout=10, trust_env=False)

    def edges(self, url: str = "") -> dict[str, dict[str, Any]]:
        return {one["id"]: one for one in self.get("/v1/edges", url).get("edges", ())}

    def workers(self) -> dict[str, dict[str, Any]]:
        return {one["id"]: one for one in self.get("/v1/workers").get("workers", ())}

    def _wait_for_all(self) -> None:
        wanted = {name for name in self.parts if not name.startswith("signaling")}
        deadline = time.monotonic() + _START_S
        while wanted - self._members():
            assert time.monotonic() < deadline, f"signaling does not know {sorted(wanted - self._members())}"
            time.sleep(0.05)

    def _members(self) -> set[str]:
        try:
            return set(self.edges()) | set(self.workers())
        except httpx.TransportError:
            return set()
