"""`make bench-chaos`: parts of a real cluster die, drain and restart under live calls that account for every frame.

Prints a table with a verdict on each target, and writes it into docs/failure.md and `bench-results/chaos.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster import scenarios
from tests.cluster.calls import Account
from tests.cluster.fleet import Fleet

from loadtest.measuring.tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cluster.scenarios import Scenario

BEGIN, END = "<!-- chaos: written by make bench-chaos -->", "<!-- end of chaos -->"

LEGEND = """\
Seed {seed}, {rounds} rounds of each. Silence is the longest time without a frame of the agent, p50 and p99 over calls.
Frames are 20 ms. The *cut* is how far the caller's stream is off where two edges' frames meet, at worst.
Where a worker is lost, those of the caller's frames count that came since the first that the new agent heard."""
HEAD = (
    "| what happens | calls | lost | moved | silence p50, p99 (target) | agent's frames lost, doubled "
    "| caller's frames lost, doubled | cut | met |"
)


@dataclass(frozen=True)
class Case:
    """A scenario, what it is called, and its targets: calls lost 0, and a longest silence (p99, ms)."""

    name: str
    run: Scenario
    longest_ms: float
    known_frames: bool = True
    """Whether the agents are the same ones afterwards, so that what they say can be accounted for."""
    fleet: Mapping[str, Any] = field(default_factory=dict)
    """What its cluster needs besides."""


APART = {"apart": scenarios.CUT_OFF, "own": {"signaling-1": scenarios.CUT_OFF_SETTINGS}}
OWN_REDIS = {"redis_per_region": True, "own": scenarios.OWN_REDIS}
CASES = (
    Case("an edge drains: make-before-break", scenarios.drain, 250),
    Case("all edges restarted, one after the other (SIGTERM)", scenarios.rolling_restart, 250),
    Case("an edge is killed (SIGKILL)", scenarios.edge_killed, 4000),
    Case("an edge stops and wakes as a zombie (SIGSTOP)", scenarios.edge_stopped, 4000),
    Case("a worker is killed (SIGKILL)", scenarios.worker_killed, 1000, known_frames=False),
    Case("a worker stops and wakes as a zombie (SIGSTOP)", scenarios.worker_stopped, 1000, known_frames=False),
    Case("a signaling node is killed (SIGKILL)", scenarios.signaling_killed, 250),
    Case("Redis is killed and comes back empty", scenarios.redis_gone, 250),
    Case("Redis does not answer for longer than the leases (SIGSTOP)", scenarios.redis_stopped, 250),
    Case("Redis fails over and has lost the last writes", scenarios.redis_failed_over, 250),
    Case("one region is cut off from Redis, and places by itself", scenarios.region_cut_off, 250, fleet=APART),
    Case(
        "of two regions' Redises one is killed and comes back empty", scenarios.region_redis_gone, 250, fleet=OWN_REDIS
    ),
    Case("of two regions' Redises one does not answer (SIGSTOP)", scenarios.region_redis_stopped, 250, fleet=OWN_REDIS),
    Case(
        "of two regions' Redises one is cut off from the other region",
        scenarios.region_redis_cut,
        250,
        fleet={**OWN_REDIS, "apart": scenarios.BEYOND},
    ),
    Case("all clocks are set, by up to an hour", scenarios.clocks_jump, 250, fleet={"clocks": True}),
)


@dataclass
class Found:
    """All rounds of a case."""

    account: Account = field(default_factory=Account)
    failed: list[str] = field(default_factory=list)

    def add(self, account: Account) -> None:
        for name, value in asdict(account).items():
            setattr(self.account, name, getattr(self.account, name) + value)


def main() -> int:
    """Returns 1 if a target was missed, or a round did not come to its end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", help="cases whose names hold this")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results")
    arguments = parser.parse_args()
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    cases = [case for case in CASES if not arguments.only or arguments.only in case.name]
    found = {case.name: measure(case, arguments.calls, arguments.rounds, seed) for case in cases}
    table = written(cases, found, seed, arguments.rounds)
    print(table)
    arguments.output.mkdir(parents=True, exist_ok=True)
    results = {"seed": seed, "cases": {name: asdict(one) for name, one in found.items()}}
    (arguments.output / "chaos.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if len(cases) == len(CASES):
        into_docs(table)
    return int(any(one.failed or not met(case, one.account) for case, one in zip(cases, found.values(), strict=True)))


def measure(case: Case, calls: int, rounds: int, seed: int) -> Found:
    found = Found()
    for number in range(rounds):
        rng = random.Random(f"{seed} {case.name} {number}")
        with (
            tempfile.TemporaryDirectory(prefix="chaos-") as folder,
            Fleet(Path(folder), workers=2, signaling=2, **case.fleet) as fleet,
        ):
            try:
                account = asyncio.run(case.run(fleet, calls, rng))
            except (AssertionError, TimeoutError) as error:
                found.failed.append(f"round {number}: {error!r}")
                print(f"{case.name}, round {number}:", file=sys.stderr)
                traceback.print_exception(error)
            else:
                found.add(account)
                print(f"{case.name}, round {number}: {account}", file=sys.stderr, flush=True)
    return found


def met(case: Case, account: Account) -> bool:
    return account.lost == 0 and p99(account.silences) <= case.longest_ms


def p99(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else 0.0


def written(cases: list[Case], found: dict[str, Found], seed: int, rounds: int) -> str:
    lines = [LEGEND.format(seed=seed, rounds=rounds), "", HEAD, "|---|---|---|---|---|---|---|---|---|"]
    for case in cases:
        one, a = found[case.name], found[case.name].account
        middle = sorted(a.silences)[len(a.silences) // 2] if a.silences else 0.0
        silence = f"{middle:.0f}, {p99(a.silences):.0f} ms ({case.longest_ms:.0f})"
        down = f"{a.missing}, {a.doubled}" if case.known_frames else "a new agent speaks"
        up = f"{a.up_missing}, {a.up_doubled}"
        cut = f"{max(a.cut, default=0.0):.0f} ms" if case.known_frames and a.moved else ""
        verdict = f"{len(one.failed)} rounds failed" if one.failed else "yes" if met(case, a) else "**no**"
        cells = (case.name, a.calls, a.lost, a.moved, silence, down, up, cut, verdict)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def into_docs(table: str) -> None:
    path = ROOT / "docs" / "failure.md"
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
