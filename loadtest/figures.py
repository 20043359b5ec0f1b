"""`make figures`: writes what `make bench`, `make soak` and `make fuzz` found last into README.md and docs/figures.md.

Nothing is measured here. The results are kept in `docs/figures.json`, so that the documents can be written again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.measuring.tools import ROOT, say

if TYPE_CHECKING:
    from loadtest.measuring.tools import Figures

KEPT = ROOT / "docs" / "figures.json"
BEGIN, END = "<!-- figures: written by make figures -->", "<!-- end of figures -->"
_WORDS = {True: "yes", False: "**no**", None: "not measured"}
_KIB = 1024


def main() -> int:
    """Takes over new results, if there are any, and writes the documents."""
    arguments = _arguments()
    kept: Figures = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for name in ("bench", "soak", "fuzz"):
        found = arguments.results / f"{name}.json"
        if found.exists():
            kept[name] = json.loads(found.read_text(encoding="utf-8"))
    if "bench" not in kept:
        say(f"no figures in {arguments.results}: run make bench first")
        return 1
    tables = arguments.results / "bench.md"
    if tables.exists():
        kept["bench"]["tables"] = tables.read_text(encoding="utf-8")
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    (ROOT / "docs" / "figures.md").write_text(document(kept), encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(with_figures(readme.read_text(encoding="utf-8"), kept), encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "bench-results", help="directory of the results")
    return parser.parse_args()


def machine_of(figures: Figures) -> str:
    """Which machine, and when."""
    machine = figures["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, {machine['at'][:10]}"


def verdict_table(bench: Figures) -> list[str]:
    """A row for each target."""
    rows = [f"| {row['target']} | {row['found']} | {_WORDS[row['met']]} |" for row in bench["verdicts"]]
    return ["| target | measured | met |", "|---|---|---|", *rows]


def with_figures(readme: str, kept: Figures) -> str:
    """README with its figures between the two marks."""
    head, _, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        message = f"README.md lacks the marks {BEGIN} and {END}"
        raise ValueError(message)
    bench = kept["bench"]
    told = [f"Measured on {machine_of(bench)}; each call sends and receives 50 packets a second:", ""]
    return f"{head}{BEGIN}\n" + "\n".join([*told, *verdict_table(bench)]) + f"\n{END}{tail}"


def document(kept: Figures) -> str:
    """All figures."""
    bench = kept["bench"]
    parts = ["# Figures", "", f"Made by `make bench` on {machine_of(bench)}; written by `make figures`.", ""]
    parts += [*verdict_table(bench), ""]
    if "tables" in bench:
        tables = bench["tables"].split("\n| target |")[0].split("\n", 2)[2]
        parts += ["## Tables", "", tables.strip(), ""]
    parts += [*bench["notes"], ""] if bench["notes"] else []
    if soak := kept.get("soak"):
        parts += _soak(soak)
    if fuzz := kept.get("fuzz"):
        parts += _fuzz(fuzz)
    return "\n".join(parts).rstrip() + "\n"


def _soak(soak: Figures) -> list[str]:
    lives, before, warm, last = soak["lives"], soak["samples"][0], soak["samples"][1], soak["last"]
    parts = ["## Soak", "", f"`make soak` on {machine_of(soak)}: {soak['calls']} calls at once for"]
    parts[-1] += f" {soak['seconds'] / 60:.0f} minutes; {lives['begun']} calls, {lives['failed']} failed,"
    parts[-1] += f" {lives['roamed']} changes of address, {lives['restarted']} ICE restarts."
    parts += [
        "",
        "| process | MiB before | warm | when all had gone | descriptors before | after |",
        "|---|---|---|---|---|---|",
    ]
    for name, kib in before["kib"].items():
        memory = [f"{amount / _KIB:.0f}" for amount in (kib, warm["kib"][name], last["kib"][name])]
        descriptors = [str(sample["descriptors"][name]) for sample in (before, last)]
        parts.append(f"| {name} | {' | '.join([*memory, *descriptors])} |")
    left = ", ".join(f"{name} {size}" for name, size in last["tables"].items())
    return [*parts, "", f"Entries of the edge's tables when all had gone: {left}.", ""]


def _fuzz(fuzz: Figures) -> list[str]:
    parts = ["## Fuzzing", "", "| target | runs | findings |", "|---|---|---|"]
    return [*parts, *(f"| {name} | {runs:,} | none |" for name, runs in fuzz["runs"].items()), ""]


if __name__ == "__main__":
    sys.exit(main())
