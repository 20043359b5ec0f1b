"""Servers to be measured, each a context manager that gives a URL for offers and the processes to watch."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.measuring.tools import ROOT, BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REGION = "frankfurt"
MIRROR = "mirror"
"""The light worker, and the agent that it serves."""
CAPACITY = 1_500
_START = 60.0


class Server:
    """A running server: where offers are posted to, and the processes whose costs count, by name."""

    def __init__(self, url: str, processes: dict[str, int]) -> None:
        self.url = url
        self.processes = processes
        for pid in processes.values():
            go_first(pid)


def go_first(pid: int) -> None:
    """Puts a server's scheduling group before other work on this machine, where that is allowed."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text("-15", encoding="ascii")


@contextlib.contextmanager
def echo_program(command: list[str]) -> Iterator[Server]:
    """A program that prints its URL and echoes until it is ended: Pion, str0m."""
    with _running(command, {}) as (process, lines):
        url = _wait_for(lines, process, re.compile(r"(http://\S+)"))
        yield Server(url, {"server": process.pid})


@contextlib.contextmanager
def antiphon(*agents: Path, console: bool = False, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A cluster as `antiphon up` starts it; the load goes to one edge of it and the one worker, with the echo agent.

    `agents`: files of further ones; `env`: what else its environment has.
    """
    settings = {
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT / "services"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
        "ANTIPHON_EDGE__CAPACITY": str(CAPACITY),
        "ANTIPHON_WORKER__CAPACITY": str(CAPACITY),
        "ANTIPHON_LOG__LEVEL": "warning",
        **(env or {}),
    }
    command = [
        sys.executable,
        "-m",
        "antiphon.cli",
        "up",
        "--port=0",
        "--base-port=0",
        "--console" if console else "--no-console",
        *(f"--agents={file}" for file in agents),
    ]
    with _running(command, settings) as (process, lines):
        base = _wait_for(lines, process, re.compile(r"ready: (http://\S+)"))
        processes = _services(process.pid)
        missing = {"edge", "worker", "signaling"} - set(processes)
        if missing:
            raise BenchError(f"antiphon up runs no {', '.join(sorted(missing))}")
        yield Server(f"{base}/v1/sessions?agent=echo&region={REGION}", processes)


@contextlib.contextmanager
def mirrored(server: Server, program: Path) -> Iterator[Server]:
    """The same cluster with a light worker at the other end of the edge's link, for figures of the edge alone.

    `program`: `antiphon-mirror`. Raises BenchError where it does not come up.
    """
    environ = Path(f"/proc/{server.processes['edge']}/environ").read_bytes().decode().split("\0")
    env = {key: value for key, _, value in (line.partition("=") for line in environ) if key}
    env = {key: value for key, value in env.items() if not key.startswith(("ANTIPHON_EDGE__", "ANTIPHON_REGION__"))}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), env.get("PYTHONPATH", "")])
    with _running([str(program)], {}) as (worker, lines):
        link = _wait_for(lines, worker, re.compile(r"^(\S+:\d+)$"))
        registering = [sys.executable, "-m", "loadtest.measuring.mirror", link]
        with _running(registering, env) as (process, said):
            url = server.url.replace("agent=echo", f"agent={MIRROR}")
            _wait_until_listed(url.split("/v1/")[0], process, said)
            yield Server(url, {"edge": server.processes["edge"], "mirror": worker.pid})


def _wait_until_listed(base: str, process: subprocess.Popen[str], said: deque[str]) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end and process.poll() is None:
        with urllib.request.urlopen(f"{base}/v1/workers", timeout=5) as answer:
            if any(worker["id"] == MIRROR for worker in json.load(answer)["workers"]):
                return
        time.sleep(0.1)
    raise BenchError("the light worker did not register:\n" + "\n".join(list(said)[-20:]))


@contextlib.contextmanager
def counters_of(server: Server, found: dict[str, float]) -> Iterator[None]:
    """Notes in `found` by how much each counter of the edge's media plane grew meanwhile."""
    before = _counters(server)
    yield
    after = _counters(server)
    found.update({name: after[name] - before.get(name, 0.0) for name in after})


def _counters(server: Server) -> dict[str, float]:
    environ = Path(f"/proc/{server.processes['edge']}/environ").read_bytes().decode().split("\0")
    port = next(line.partition("=")[2] for line in environ if line.startswith("ANTIPHON_EDGE__HTTP_PORT="))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    rows = (line.split() for line in lines if line.startswith("antiphon_edge_") and "{" not in line)
    return {name.removeprefix("antiphon_edge_").removesuffix("_total"): float(value) for name, value in rows}


def _services(parent: int) -> dict[str, int]:
    """Process ids of the cluster's services: children of `antiphon up`, known by what they were told."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (directory / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) != parent:
                continue
            arguments = (directory / "cmdline").read_bytes().split(b"\0")
            environment = (directory / "environ").read_bytes().split(b"\0")
            for service in ("edge", "worker", "signaling"):
                elsewhere = service == "edge" and f"ANTIPHON_REGION__NAME={REGION}".encode() not in environment
                if service.encode() in arguments and not elsewhere:
                    found[service] = int(directory.name)
    return found


@contextlib.contextmanager
def _running(command: list[str], env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], deque[str]]]:
    lines: deque[str] = deque(maxlen=200)
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as directory:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        try:
            yield process, lines
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            reader.join(5)
            if process.stdout is not None:
                process.stdout.close()


def _read(process: subprocess.Popen[str], lines: deque[str]) -> None:
    if process.stdout is not None:
        for line in process.stdout:
            lines.append(line.rstrip())


def _wait_for(lines: deque[str], process: subprocess.Popen[str], pattern: re.Pattern[str]) -> str:
    end = time.monotonic() + _START
    while time.monotonic() < end:
        for line in list(lines):
            if found := pattern.search(line):
                return found[1]
        if process.poll() is not None:
            # Its last words may still be on their way to us.
            end = min(end, time.monotonic() + 0.5)
        time.sleep(0.05)
    tail = "\n".join(list(lines)[-20:])
    raise BenchError(f"{Path(str(process.args[0])).name} did not start:\n{tail}")  # type: ignore[index]
