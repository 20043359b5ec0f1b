"""Tables that the engine's examples print: run, kept beside the docs as tab-separated values, read again."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_MANIFEST = ROOT / "services" / "media-plane" / "Cargo.toml"

Row = dict[str, str]


def measure(example: str, *arguments: str) -> str:
    """Runs an example of the engine and returns the table that it prints. Raises CalledProcessError."""
    command = ["cargo", "run", "--quiet", "--manifest-path", str(_MANIFEST), "-p", "antiphon-engine"]
    command += ["--example", example, "--", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def insert(page: Path, name: str, text: str, *, by: str = "make plots") -> None:
    """Puts `text` between the marks of `name` on a page."""
    begin, end = f"<!-- {name}: written by {by} -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has no marks of {name}")
    page.write_text(f"{before}{begin}{text}\n{end}{after}", encoding="utf-8")


def select(rows: Iterable[Row], **wanted: str) -> list[Row]:
    """The rows whose columns have these values."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def column(rows: Iterable[Mapping[str, str]], of: str | Callable[[Mapping[str, str]], float]) -> list[float]:
    return [float(row[of]) if isinstance(of, str) else of(row) for row in rows]
