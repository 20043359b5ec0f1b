"""`make bench-planet`: a day of a million callers in simulation, bursts, and placements through a real Valkey, and two.

Writes tables and plots beside docs/placement.md and puts the heart of them into it; one part by its name
(`ARGS=claims`), fewer callers with `ARGS="day --callers 20000"`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

import uvloop

from loadtest.measuring.machine import machine
from loadtest.planet import bursts, claims, drawing, tables
from loadtest.planet.day import simulate
from loadtest.plots import style
from loadtest.plots.tables import DOCS, insert

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = DOCS / "placement.md"
BY = "make bench-planet"


def day(options: argparse.Namespace) -> None:
    result = simulate(options.callers, options.seed)
    evidence, times = tables.by_evidence(result), tables.by_time(result)
    tables.write(DOCS / "placement-evidence.tsv", evidence)
    tables.write(DOCS / "placement-day.tsv", times)
    style.save(drawing.day(times), DOCS / "placement-day.svg")
    insert(PAGE, "placement-day", drawing.day_in_words(evidence, result, options.seed), by=BY)


def burst(options: argparse.Namespace) -> None:
    rows = bursts.table(options.seed)
    tables.write(DOCS / "placement-bursts.tsv", rows)
    insert(PAGE, "placement-bursts", drawing.bursts_in_words(rows), by=BY)


def claim(options: argparse.Namespace) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        one, two = (runner.run(claims.measure(quick=options.quick, servers=servers)) for servers in (1, 2))
    tables.write(DOCS / "placement-claims.tsv", one.rows)
    tables.write(DOCS / "placement-claims-two.tsv", two.rows)
    style.save(drawing.claims(one.rows, two.rows), DOCS / "placement-claims.svg")
    insert(PAGE, "placement-claims", drawing.claims_in_words(one, machine()), by=BY)
    insert(PAGE, "placement-claims-two", drawing.two_in_words(one, two, machine()), by=BY)


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {"claims": claim, "bursts": burst, "day": day}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench-planet", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all by default")
    parser.add_argument("--callers", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--quick", action="store_true", help="shorter measurements")
    options = parser.parse_args(arguments)
    style.use()
    for part in options.parts or PARTS:
        print(f"{part} ...", file=sys.stderr)
        PARTS[part](options)
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(sys.argv[1:])
