"""What processes spend on a CPU while the load runs, second by second; and the locust processes themselves."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Any, Self

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float | None:
    """What a process and the children that it waited for have spent; None once it is gone."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK
    return None


def children_of(pid: int) -> list[int]:
    """A process's children: locust's own processes, where the load is distributed over several."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in task.read_text(encoding="ascii").split()]
    return found


class CpuWatch:
    """Samples processes by name each second: `rows` of time and seconds spent, with their children's where told so."""

    def __init__(self, processes: dict[str, int], *, with_children: frozenset[str] = frozenset()) -> None:
        self._processes = processes
        self._with_children = with_children
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.rows: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            row: dict[str, Any] = {"at": time.time()}
            for name, pid in self._processes.items():
                pids = [pid, *children_of(pid)] if name in self._with_children else [pid]
                spent = [cpu_s(pid) for pid in pids]
                if None not in spent:
                    row[name] = sum(one for one in spent if one is not None)
            self.rows.append(row)
            if self._stop.wait(1.0):
                return


def cores(rows: list[dict[str, Any]], name: str, begin: float, end: float) -> float | None:
    """Cores that a process kept busy between two moments; None where that was not seen."""
    seen = [row for row in rows if name in row and begin <= row["at"] <= end]
    if len(seen) < 2:
        return None
    return float((seen[-1][name] - seen[0][name]) / (seen[-1]["at"] - seen[0]["at"]))
