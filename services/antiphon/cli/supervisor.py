"""Runs child processes as one: starts them in order, waits until each is ready, restarts what crashes, stops all.

Children live in process groups of their own, so that Ctrl-C reaches the supervisor alone, which then ends them in
order; and they get SIGTERM from the kernel if the supervisor itself is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from antiphon.errors import AntiphonError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from antiphon.cli.output import Printer

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class StartError(AntiphonError):
    """A child did not come up."""


@dataclass(frozen=True)
class Child:
    """One process. `ready` tells whether it serves; `env` is laid over the supervisor's environment."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Patience:
    """Seconds. A crashed child starts again after `pause`, twice as long each time until it lived for `settled`."""

    start: float = 60.0
    stop: float = 4.0
    pause: float = 0.5
    longest_pause: float = 10.0
    settled: float = 20.0


class Supervisor:
    """An async context manager: leaving it stops everything, last started first."""

    def __init__(self, printer: Printer, patience: Patience | None = None) -> None:
        self._printer = printer
        self._patience = patience or Patience()
        self._groups: list[list[_Minder]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, *children: Child) -> None:
        """Starts children together and returns when all are ready. Raises StartError."""
        minders = [_Minder(child, self._printer, self._patience) for child in children]
        self._groups.append(minders)
        starting = [asyncio.create_task(minder.start(), name=f"start {minder.child.name}") for minder in minders]
        try:
            done, _ = await asyncio.wait(starting, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)

    async def stop(self) -> None:
        """Ends the groups in reverse order; nothing is left when it returns."""
        while self._groups:
            await asyncio.gather(*(minder.stop() for minder in self._groups[-1]))
            self._groups.pop()

    def kill(self) -> None:
        """Ends everything at once, for a second Ctrl-C."""
        for minder in _flat(self._groups):
            minder.kill()

    def pids(self) -> dict[str, int]:
        """Process ids of children that live, by name."""
        return {m.child.name: m.pid for m in _flat(self._groups) if m.pid is not None}


class _Minder:
    """Minds one child."""

    def __init__(self, child: Child, printer: Printer, patience: Patience) -> None:
        self.child = child
        self._printer = printer
        self._patience = patience
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        process = await self._spawn()
        exited = asyncio.ensure_future(process.wait())
        try:
            async with asyncio.timeout(self._patience.start):
                while not exited.done() and not await self.child.ready():
                    await asyncio.wait({exited}, timeout=0.05)
        except TimeoutError:
            msg = f"{self.child.name} was not ready after {self._patience.start:.0f} s: its lines above may tell why"
            raise StartError(msg) from None
        finally:
            exited.cancel()
        if process.returncode is not None:
            await self._read_to_the_end()
            msg = f"{self.child.name} could not start ({_ending(process.returncode)}): its lines above tell why"
            raise StartError(msg)
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.child.name}")

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        process = self._process
        if process is not None and process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(self._patience.stop):
                    await process.wait()
            except TimeoutError:
                self._printer.line(self.child.name, f"did not stop within {self._patience.stop:.0f} s: killed")
        self.kill()
        if process is not None:
            await process.wait()
        await self._read_to_the_end()

    def kill(self) -> None:
        """Kills the process group: the child, if it lives, and what it may have left."""
        self._signal(signal.SIGKILL)

    async def _keep(self) -> None:
        """Starts the child again whenever it ends."""
        pause = self._patience.pause
        while (process := self._process) is not None:
            born = time.monotonic()
            code = await process.wait()
            self._signal(signal.SIGKILL)  # what it left behind
            await self._read_to_the_end()
            if time.monotonic() - born > self._patience.settled:
                pause = self._patience.pause
            self._printer.line(self.child.name, f"ended by itself ({_ending(code)}): starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._patience.longest_pause)
            try:
                await self._spawn()
            except StartError as error:
                self._printer.line(self.child.name, str(error))

    async def _spawn(self) -> asyncio.subprocess.Process:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.child.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **self.child.env},
                start_new_session=True,
                preexec_fn=functools.partial(_die_with, os.getpid()),
                limit=1 << 20,
            )
        except OSError as error:
            msg = f"{self.child.name} could not start: {self.child.command[0]}: {error.strerror}"
            raise StartError(msg) from error
        self._reader = asyncio.create_task(self._read(self._process), name=f"read {self.child.name}")
        return self._process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than the limit; the reader has thrown it away
                self._printer.line(self.child.name, "(a line of more than a megabyte)")
                continue
            if not line:
                return
            self._printer.line(self.child.name, line.decode(errors="replace").rstrip())

    async def _read_to_the_end(self) -> None:
        if self._reader is not None:
            with contextlib.suppress(TimeoutError):  # a grandchild may hold the pipe open
                await asyncio.wait_for(self._reader, 1.0)
            self._reader = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


def _die_with(parent: int) -> None:
    """Runs in the child before exec: asks the kernel for SIGTERM when the parent dies, however it dies."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died in between
            os._exit(1)


def _ending(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _flat(groups: Iterable[list[_Minder]]) -> list[_Minder]:
    return [minder for group in groups for minder in group]
