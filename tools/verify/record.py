"""What became of each step, kept in docs/verify.json and shown in docs/verify.md."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from tools.verify.steps import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tools.verify.steps import Step

RECORD, PAGE = ROOT / "docs" / "verify.json", ROOT / "docs" / "verify.md"
Result = Literal["passed", "failed", "not run"]


@dataclass(frozen=True)
class Outcome:
    result: Result
    why: str = ""
    """What was missing, or how it failed; of what passed, its last line."""
    seconds: float = 0.0
    at: str = ""
    """UTC, to the minute."""
    commit: str = ""
    machine: str = ""


def read(path: Path = RECORD) -> dict[str, Outcome]:
    if not path.exists():
        return {}
    return {name: Outcome(**told) for name, told in json.loads(path.read_text(encoding="utf-8")).items()}


def write(outcomes: Mapping[str, Outcome], steps: Iterable[Step], folder: Path = PAGE.parent) -> None:
    known = {step.name: outcomes[step.name] for step in steps if step.name in outcomes}
    text = json.dumps({name: asdict(outcome) for name, outcome in known.items()}, indent=1)
    (folder / RECORD.name).write_text(text + "\n", encoding="utf-8")
    (folder / PAGE.name).write_text(document(known, steps), encoding="utf-8")


def document(outcomes: Mapping[str, Outcome], steps: Iterable[Step]) -> str:
    """The text of docs/verify.md."""
    lines = [_HEAD, "", "| step | shows | result | took | when, of commit |", "|---|---|---|---|---|"]
    for step in steps:
        outcome = outcomes.get(step.name, Outcome("not run", "not yet"))
        result = "**failed**" if outcome.result == "failed" else outcome.result
        why = f": {_cell(outcome.why)}" if outcome.why else ""
        took = f"{outcome.seconds / 60:.1f} min" if outcome.result != "not run" else "-"
        when = f"{outcome.at}, {outcome.commit}" if outcome.at else "-"
        lines.append(f"| `{step.name}` | {step.shows} | {result}{why} | {took} | {when} |")
    if machines := sorted({outcome.machine for outcome in outcomes.values() if outcome.machine}):
        lines += ["", f"Run on {'; '.join(machines)}."]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")


_HEAD = """# The last `make verify`

What continuous integration has no time or no tools for. `make verify` runs it step by step and writes this page; a step
whose tools are missing is not run, and says what it wants. `make verify ARGS=--quick` takes what lasts minutes,
`ARGS="soak chaos"` what it names, and leaves the others' results here; `ARGS=--list` shows what would run. Logs are in
`build/verify`. What the steps measured is on the pages of each: [figures.md](figures.md), [failure.md](failure.md),
[placement.md](placement.md), [interop.md](interop.md), [loss.md](loss.md), [latency.md](latency.md)."""
