"""Wall clocks of real processes that a test sets: a library, built here, is preloaded into them."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_suffix(".c")


class ClockShift:
    """Processes that are started with `env` have a clock that is off by what `set` says, from then on and at once."""

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
