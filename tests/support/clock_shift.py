"""Wall clocks of real processes that a test sets: a library, built here, is preloaded into them.

A process that looks at its clock now and then only goes on with the time that it has seen: Valkey looks once in a
millisecond of its processor's ticks, which it counts at its start and counts wrong on a busy machine.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.wait import until

if TYPE_CHECKING:
    from redis.asyncio import Redis

_SOURCE = Path(__file__).with_suffix(".c")


class ClockShift:
    """Processes that are started with `env` have a clock that is off by what `set` says, whenever they look at it."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler to build tests/support/clock_shift.c with")
        folder.mkdir(exist_ok=True)
        library, self._file = folder / "clock_shift.so", folder / "clock_shift"
        subprocess.run((compiler, "-O2", "-shared", "-fPIC", "-o", library, _SOURCE), check=True)
        self.env = {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(self._file)}
        self.set(0)

    def set(self, seconds: int) -> None:
        with self._file.open("r+b" if self._file.exists() else "wb") as file:  # in place: it is mapped by processes
            file.write(struct.pack("=q", seconds))

    async def set_on(self, server: Redis, seconds: int) -> None:
        """Returns once the server has seen it."""
        self.set(seconds)

        async def seen() -> bool:
            told = await server.time()
            return abs(told[0] + told[1] / 1e6 - time.time() - seconds) < 0.4

        await until(seen, every=0.001, what="a server that has seen its clock set")
