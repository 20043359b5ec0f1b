"""`antiphon up` as tests use it: on free ports, with a Valkey that can be taken away, and its processes at hand."""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

from antiphon.cluster.embedded import valkey_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START_SECONDS = 120
BUSY = {"ANTIPHON_WORKER__LATE_MS": "5000"}
"""Workers on a busy machine take calls all the same: that who is late refuses is tested where time is virtual."""
_READY = re.compile(r"Antiphon is ready: (http://\S+)")


class Valkey:
    """A Valkey process that a test may kill and start again on the same port."""

    def __init__(self, directory: Path, env: Mapping[str, str] | None = None) -> None:
        self._env = os.environ | (env or {})
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = (valkey_program(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "")
        self._process = subprocess.Popen(
            (*command, "--dir", str(self._directory)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._env,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, "Valkey did not start"
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def save(self) -> None:
        """What it knows now it will know when it is started again."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"SAVE\r\n")
            assert connection.recv(16).startswith(b"+OK")

    def forget(self) -> None:
        """When it is started again it will know nothing."""
        (self._directory / "dump.rdb").unlink(missing_ok=True)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class LocalCluster:
    """A context manager around `antiphon up`."""

    def __init__(self, *options: str, env: Mapping[str, str] | None = None) -> None:
        """env: settings, such as ANTIPHON_EDGE__HOST; those of the tests' own environment count for nothing."""
        self._options = options
        self._env = dict(env or {})
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._found: queue.Queue[str | None] = queue.Queue()
        self.lines: list[str] = []
        self.url = ""

    def __enter__(self) -> Self:
        env = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}
        env |= BUSY | self._env
        command = (sys.executable, "-m", "antiphon.cli", "up", "--port", "0", "--base-port", "0", *self._options)
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        url = self._found.get(timeout=START_SECONDS)
        if url is None:
            self.__exit__()
            raise AssertionError("antiphon up did not start:\n" + "\n".join(self.lines))
        self.url = url
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Sends a signal as a terminal would to one process, and returns the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            code = self._process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        if self._reader is not None:
            self._reader.join(timeout=10)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def processes(self) -> dict[int, str]:
        """Command lines of the supervisor's children, by process id."""
        assert self._process is not None
        return {pid: line for pid, (parent, line) in _table().items() if parent == self._process.pid}

    def pid(self, what: str) -> int | None:
        """The child whose command line ends with these words, such as "worker" or "edge"; None while there is none."""
        wanted = f"antiphon.cli {what}"
        return next((pid for pid, line in self.processes().items() if wanted in line), None)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=10, trust_env=False)

    def post(self, path: str) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", timeout=10, trust_env=False)

    def delete(self, path: str) -> httpx.Response:
        return httpx.delete(f"{self.url}{path}", timeout=10, trust_env=False)

    def log(self, words: str) -> Sequence[str]:
        return [line for line in self.lines if words in line]

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())
            ready = _READY.search(line)
            if ready:
                self._found.put(ready.group(1))
        self._found.put(None)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    return pid in _table()


def _table() -> dict[int, tuple[int, str]]:
    """Parent and command line by process id, zombies left out."""
    found: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state, parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (OSError, ValueError):
            continue
        if state != "Z":
            found[int(folder.name)] = (int(parent), line)
    return found
