"""One line for each fact that was seen, and the page that they become."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "interop.md"
_ROOT = DOCUMENT.parents[1]
_MARKS = {True: "yes", False: "**no**", None: ""}


@dataclass(frozen=True)
class Fact:
    """`wanted` is None where the figure is only told."""

    what: str
    seen: str
    wanted: bool | None = None


@dataclass
class Facts:
    """What was seen of one peer."""

    peer: str
    version: str = ""
    missing: str = ""
    """Why it was not called, where it was not."""
    found: list[Fact] = field(default_factory=list)

    def add(self, what: str, seen: object, *, wanted: bool | None = None) -> None:
        self.found.append(Fact(what, str(seen), wanted))
        mark = {True: "ok", False: "WRONG", None: "--"}[wanted]
        print(f"{self.peer:9} {mark:5} {what}: {seen}", file=sys.stderr, flush=True)

    @property
    def as_wanted(self) -> bool:
        return all(fact.wanted is not False for fact in self.found)


def write(all_facts: list[Facts], machine: str) -> None:
    """Writes docs/interop.md anew."""
    pieces = [_HEAD.format(machine=machine)]
    for facts in all_facts:
        pieces.append(f"\n## {facts.peer}\n\n")
        if facts.missing:
            pieces.append(f"Not called: {facts.missing}\n")
            continue
        pieces.append(f"{facts.version}\n\n| what | seen | as wanted |\n|---|---|---|\n")
        pieces += [f"| {fact.what} | {fact.seen.replace('|', '/')} | {_MARKS[fact.wanted]} |\n" for fact in facts.found]
    DOCUMENT.write_text(portable("".join(pieces)))


def portable(text: str) -> str:
    """Without the folders of whoever runs this, which errors and commands may tell."""
    return text.replace(str(_ROOT), ".").replace(str(Path.home()), "~")


_HEAD = """# Real peers on a bad network

Written by `make interop` ({machine}).
Each peer calls a whole cluster from a network namespace of its own, through the [impairer](impairer.md), whose
seed is the same each time. Figures are of one run; the last column says whether a fact is as it should be, and is empty
where a figure is only told.
"""


def machine() -> str:
    """Cores, processor, kernel, Python."""
    text = Path("/proc/cpuinfo").read_text()
    models = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    processor = models[0] if models else platform.machine()
    kernel = platform.release().split("-")[0]
    return f"{len(models)} cores of {processor}, Linux {kernel}, Python {platform.python_version()}"
