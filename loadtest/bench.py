"""`make bench`: the floor, the engine alone, the whole path and its peers, measured in one run on one load.

Prints tables with ratios and a verdict on each target, and writes `bench-results/bench.json` and `bench.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from loadtest.measuring import servers
from loadtest.measuring.judgement import COMPARED, IDLE, MANY, Results, markdown, verdicts
from loadtest.measuring.machine import machine
from loadtest.measuring.tools import (
    ROOT,
    WARM_UP,
    BenchError,
    Caller,
    Figures,
    Load,
    build_caller,
    build_mirror,
    build_pion,
    go_last,
    say,
)


@dataclass(frozen=True)
class Extent:
    """How much is measured. Seconds and numbers of sessions."""

    window: float
    floor: tuple[int, ...]
    pion: tuple[int, ...]
    str0m: tuple[int, ...]
    antiphon: tuple[int, ...]
    edge: tuple[int, ...]
    """With a light worker at the other end of the link: figures of the edge alone."""
    setups: int
    reach: float
    """Seconds for the search for the most calls; 0 for none."""
    flooded: float
    """Seconds of set-ups at full speed; 0 for none."""


QUICK = Extent(5.0, (COMPARED, 0), (COMPARED,), (), (COMPARED, IDLE), (), 60, 0.0, 5.0)
FULL = Extent(
    10.0,
    (IDLE, 100, COMPARED, 500, MANY, 0),
    (100, COMPARED),
    (COMPARED,),
    (COMPARED, IDLE, 100, 500, MANY),
    (COMPARED, MANY),
    100,
    150.0,
    10.0,
)


_FLOODERS = 32
"""Calls that are set up at once in a flood."""
_LATE_MS = 20.0
_REACH_STEP = 50
"""Calls: no nearer is looked for how many there may be."""
_REACH_WINDOW = 5.0
_REACH_RATE = 100.0


def main() -> int:
    """Runs the benchmark. Returns 1 if a target is missed and `--check` was given."""
    arguments = _arguments()
    results = Results(machine=machine())
    extent = QUICK if arguments.quick else FULL
    try:
        caller = Caller(build_caller(), results.notes)
        if "engine" in arguments.only:
            results.engine = [caller.engine(sessions) for sessions in (1, COMPARED)]
            say("engine and sockets, saturated")
            results.saturated = caller.saturated(COMPARED, extent.window)
        if "floor" in arguments.only:
            _measure_floor(caller, extent, results)
        if "peers" in arguments.only:
            _measure_peers(caller, extent, results)
        if "antiphon" in arguments.only:
            _measure_antiphon(caller, extent, results)
    except BenchError as error:
        results.notes.append(str(error))
        say(f"bench: {error}")
    _write(arguments.output, results)
    print(markdown(results))
    missed = any(verdict.met is False for verdict in verdicts(results))
    return int(arguments.check and missed)


def _arguments() -> argparse.Namespace:
    parts = ["engine", "floor", "peers", "antiphon"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about a minute instead of five")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--only", action="append", choices=parts, help="measure this part; more than once for several")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results", help="directory of the results")
    arguments = parser.parse_args()
    arguments.only = arguments.only or parts
    return arguments


def _measure_floor(caller: Caller, extent: Extent, results: Results) -> None:
    for sessions in extent.floor:
        say(f"floor, {sessions or 'saturated'}")
        results.floor[sessions] = caller.floor(sessions, extent.window / 2)


def _measure_peers(caller: Caller, extent: Extent, results: Results) -> None:
    pion = build_pion() if extent.pion else None
    if pion is not None:
        with servers.echo_program([str(pion)]) as server:
            _measure(caller, server, "Pion", extent.pion, results.pion, extent, results)
    if extent.str0m:
        with servers.echo_program([str(caller.program), "peer"]) as server:
            _measure(caller, server, "str0m", extent.str0m, results.str0m, extent, results)


def _measure_antiphon(caller: Caller, extent: Extent, results: Results) -> None:
    say("starting Antiphon")
    with servers.antiphon() as server:
        _measure(caller, server, "antiphon", extent.antiphon, results.antiphon, extent, results)
        if extent.edge:
            _measure_edge(caller, server, extent, results)
        if extent.reach:
            _find_reach(caller, server, extent, results)
        if extent.flooded:
            results.flood = _measure_flood(caller, server, extent, results, apart=False)
            # Nothing is measured behind this: signaling stays what it is made.
            go_last(server.processes["signaling"])
            results.flood_apart = _measure_flood(caller, server, extent, results, apart=True)


def _measure_edge(caller: Caller, server: servers.Server, extent: Extent, results: Results) -> None:
    """The edge with a worker that costs next to nothing: the load's schedule holds then with many calls too."""
    try:
        with servers.mirrored(server, build_mirror()) as mirrored:
            caller.load(mirrored.url, WARM_UP, mirrored.processes)
            for sessions in extent.edge:
                say(f"edge with a light worker, {sessions} sessions")
                found = caller.load(mirrored.url, Load(sessions, extent.window), mirrored.processes)
                results.edge[sessions] = found
    except (BenchError, OSError) as error:
        results.notes.append(f"edge with a light worker: {error}")
        say(results.notes[-1])


def _measure_flood(
    caller: Caller, server: servers.Server, extent: Extent, results: Results, *, apart: bool
) -> Figures | None:
    """Calls, and then the same calls while others are set up as fast as it goes. None where that could not be measured.

    `apart`: those who set up, and signaling, have what cores the live calls, the edge and the worker leave them: they
    stand for machines of their own, which they have in a cluster. Else all share this machine's cores as equals.
    """
    say(f"{COMPARED} sessions, and set-ups at full speed{', apart' if apart else ''}")
    load = Load(COMPARED, extent.flooded, settle=3.0)
    counted: dict[str, float] = {}
    try:
        calm = caller.load(server.url, load, server.processes)
        flood: list[subprocess.Popen[str]] = []
        starter = threading.Timer(
            COMPARED / load.rate + 1.5,
            lambda: flood.append(caller.start_lives(server.url, _FLOODERS, extent.flooded + load.settle, idle=apart)),
        )
        with servers.counters_of(server, counted):
            starter.start()
            flooded = caller.load_once(server.url, load, server.processes)
            lives = json.loads(flood[0].communicate(timeout=60)[0])
    except (BenchError, OSError, IndexError, ValueError, subprocess.TimeoutExpired) as error:
        results.notes.append(f"set-ups at full speed{', apart' if apart else ''}: {error}")
        say(results.notes[-1])
        return None
    rate = lives["up"] / (extent.flooded + load.settle)
    return {"calm": calm, "flooded": flooded, "lives": lives, "rate": rate, "counted": counted}


def _find_reach(caller: Caller, server: servers.Server, extent: Extent, results: Results) -> None:
    """How many calls lose nothing and are in time: between sizes that were measured anyway, by halves, for a while."""
    end = time.monotonic() + extent.reach
    for sessions, found in sorted(results.antiphon.items()):
        _judge_reach(sessions, found, results)
    while time.monotonic() < end:
        passed = max((row["sessions"] for row in results.reach if row["passes"]), default=0)
        missed = min((row["sessions"] for row in results.reach if not row["passes"]), default=servers.CAPACITY)
        sessions = (passed + missed) // 2 // _REACH_STEP * _REACH_STEP
        if sessions <= passed or any(row["sessions"] == sessions for row in results.reach):
            return
        say(f"antiphon, {sessions} sessions: is something lost or late?")
        load = Load(sessions, _REACH_WINDOW, rate=_REACH_RATE)
        try:
            _judge_reach(sessions, caller.load_once(server.url, load, server.processes), results)
        except BenchError as error:
            say(str(error))
            results.reach.append({"sessions": sessions, "passes": False, "why": str(error)})


def _judge_reach(sessions: int, found: Figures, results: Results) -> None:
    passes = bool(found["lost"] == 0 and found["failed"] == 0 and found["delay_ms"]["p99"] <= _LATE_MS)
    results.reach.append(
        {
            "sessions": sessions,
            "passes": passes,
            "lost": found["lost"],
            "p99_ms": found["delay_ms"]["p99"],
            "edge_cores": found["servers"]["edge"]["cores"],
            "worker_cores": found["servers"]["worker"]["cores"],
        }
    )


def _measure(
    caller: Caller,
    server: servers.Server,
    name: str,
    sizes: tuple[int, ...],
    found: dict[int, Figures],
    extent: Extent,
    results: Results,
) -> None:
    """Memory is weighed at the first size: later ones reuse what it has left behind."""
    warm = caller.load(server.url, WARM_UP, server.processes)
    for sessions in sizes:
        say(f"{name}, {sessions} sessions")
        try:
            found[sessions] = caller.load(server.url, Load(sessions, extent.window), server.processes)
        except BenchError as error:
            results.notes.append(f"{name} at {sessions} sessions: {error}")
            say(results.notes[-1])
            continue
        if sessions == sizes[0]:
            results.weight[name] = {
                process: (costs["kib_after"] - warm["servers"][process]["kib_after"]) / sessions
                for process, costs in found[sessions]["servers"].items()
            }
    say(f"{name}, {extent.setups} set-ups")
    silent = Load(extent.setups, window=3.0, rate=25.0, silent=True)
    results.setup[name] = caller.load(server.url, silent, server.processes)


def _write(directory: Path, results: Results) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    found = dataclasses.asdict(results) | {"verdicts": [dataclasses.asdict(verdict) for verdict in verdicts(results)]}
    (directory / "bench.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (directory / "bench.md").write_text(markdown(results), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
