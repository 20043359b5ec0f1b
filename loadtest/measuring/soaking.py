"""What processes hold at a moment of a soak, and whether they still hold it when all calls have gone."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.measuring.tools import BenchError

if TYPE_CHECKING:
    from loadtest.measuring.tools import Figures

ALLOCATORS_SHARE = 0.25
"""Memory above that of the warm process which an allocator may keep in pieces after the load."""
NOISE_KIB = 8 * 1024
_TABLE = 'antiphon_edge_table_entries{table="'


@dataclass(frozen=True)
class Sample:
    """KiB (PSS) and descriptors by process, entries by the edge's tables."""

    kib: dict[str, int]
    descriptors: dict[str, int]
    tables: dict[str, int]

    def line(self) -> str:
        """One line of progress."""
        parts = [f"{name} {kib / 1024:.0f} MiB, {self.descriptors[name]} fds" for name, kib in self.kib.items()]
        tables = ", ".join(f"{size} {name}" for name, size in self.tables.items())
        return "; ".join([*parts, tables])


@dataclass(frozen=True)
class Soak:
    """A whole soak."""

    calls: int
    seconds: float
    lives: Figures
    samples: list[Sample]
    """The first before any call, the second once warm."""
    last: Sample
    """When all have gone."""

    def leaks(self) -> list[str]:
        """What is left behind, in words; empty if nothing is."""
        before, warm = self.samples[:2]
        found = [f"{size} {name} are left" for name, size in self.last.tables.items() if size > 0]
        for name, kib in self.last.kib.items():
            if kib > warm.kib[name] * (1 + ALLOCATORS_SHARE) + NOISE_KIB:
                found.append(f"{name} holds {kib} KiB, {warm.kib[name]} KiB when warm under load")
        for name, descriptors in self.last.descriptors.items():
            # Connections between the services come and go with the load's.
            if descriptors > before.descriptors[name] + 16:
                found.append(f"{name} holds {descriptors} descriptors, {before.descriptors[name]} before")
        if self.lives["corrupt"]:
            found.append(f"{self.lives['corrupt']} packets were no echo of what their call sent")
        if self.lives["failed"] > 0.01 * self.lives["begun"]:
            found.append(f"{self.lives['failed']} of {self.lives['begun']} calls failed: {self.lives['failure']}")
        return found

    def table(self) -> str:
        """The result as text."""
        lives = self.lives
        before, warm = self.samples[:2]
        most = max(self.samples, key=lambda sample: sum(sample.kib.values()))
        story = (
            f"{self.calls} calls at once for {self.seconds:.0f} s: {lives['begun']} begun, {lives['up']} up, "
            f"{lives['failed']} failed, {lives['roamed']} changes of address, {lives['restarted']} ICE restarts, "
            f"{lives['said_bye']} said bye, {lives['deleted']} deleted, {lives['vanished']} vanished; "
            f"{lives['echoed']} of {lives['sent']} packets echoed"
        )
        rows = [
            story,
            "",
            "| process | KiB before | warm | most | after | KiB a live call | descriptors before | after |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, kib in before.kib.items():
            weight = (warm.kib[name] - kib) / self.calls
            cells = [kib, warm.kib[name], most.kib[name], self.last.kib[name], f"{weight:.0f}"]
            cells += [before.descriptors[name], self.last.descriptors[name]]
            rows.append(f"| {name} | {' | '.join(map(str, cells))} |")
        left = ", ".join(f"{name} {size}" for name, size in self.last.tables.items())
        return "\n".join([*rows, "", f"tables when all have gone: {left}", *(self.leaks() or ["nothing leaks"])])


def sample(processes: dict[str, int]) -> Sample:
    """What these processes hold now; the one named `edge` tells its tables."""
    return Sample(
        {name: _pss(pid) for name, pid in processes.items()},
        {name: len(list(Path(f"/proc/{pid}/fd").iterdir())) for name, pid in processes.items()},
        _tables(processes["edge"]),
    )


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise BenchError(f"process {pid} tells no memory")


def _tables(edge: int) -> dict[str, int]:
    wanted = b"ANTIPHON_EDGE__HTTP_PORT="
    environment = Path(f"/proc/{edge}/environ").read_bytes().split(b"\0")
    port = next(int(entry.removeprefix(wanted)) for entry in environment if entry.startswith(wanted))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    rows = (line.removeprefix(_TABLE).split('"} ') for line in lines if line.startswith(_TABLE))
    return {name: int(float(size)) for name, size in rows}
