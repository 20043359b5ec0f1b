"""`make soak`: a cluster, and calls of random life on one of its edges for half an hour; what is left behind is a leak.

    make soak ARGS="--minutes 30 --calls 300"

Calls come, talk, change their address, restart ICE, and leave by a word, by the API or by silence; others take their
places. Memory, descriptors and tables are noted all along, and again when all calls have gone and consent has run out.
Writes `bench-results/soak.json`. Ends with 1 if something leaks.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

from loadtest.measuring import servers
from loadtest.measuring.machine import machine
from loadtest.measuring.soaking import Sample, Soak, sample
from loadtest.measuring.tools import ROOT, BenchError, build_caller, say

_DRAIN = 45.0
"""Seconds until a caller that fell silent has lost its consent, and the edge's tables were told anew."""
_EVERY = 10.0
_WARM_UP = 0.1
"""Share of the time after which memory must not grow any more."""


def main() -> int:
    """Runs the soak. Returns 1 if something leaks, or calls failed."""
    arguments = _arguments()
    program = build_caller()
    try:
        with servers.antiphon() as server:
            found = _soak(program, server, arguments)
    except BenchError as error:
        say(f"soak: {error}")
        return 1
    text = json.dumps(dataclasses.asdict(found) | {"machine": machine()}, indent=2)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "soak.json").write_text(text + "\n", encoding="utf-8")
    print(found.table())
    return int(bool(found.leaks()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long new calls begin")
    parser.add_argument("--calls", type=int, default=300, help="calls at once")
    parser.add_argument("--life", type=float, default=30.0, help="seconds that a call lives, on average")
    parser.add_argument("--seed", type=int, default=1, help="of the random lives")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results", help="directory of the results")
    return parser.parse_args()


def _soak(program: Path, server: servers.Server, arguments: argparse.Namespace) -> Soak:
    seconds = arguments.minutes * 60
    command = [str(program), "lives", server.url, f"--calls={arguments.calls}", f"--seconds={seconds}"]
    command += [f"--life={arguments.life}", f"--seed={arguments.seed}"]
    samples = [sample(server.processes)]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as lives:
        while lives.poll() is None:
            time.sleep(min(_EVERY, max(0.5, seconds / 20)))
            samples.append(sample(server.processes))
            say(f"{time.monotonic() - began:.0f} s: {samples[-1].line()}")
        output, errors = lives.communicate()
    if lives.returncode != 0:
        raise BenchError(f"the load failed: {errors.strip()}")
    say(f"all calls have gone; {_DRAIN:.0f} s until those that fell silent are given up")
    time.sleep(_DRAIN)
    last = sample(server.processes)
    settled = samples[min(len(samples) - 1, 1 + int(len(samples) * _WARM_UP))]
    return Soak(arguments.calls, seconds, json.loads(output), _of(samples, settled), last)


def _of(samples: list[Sample], settled: Sample) -> list[Sample]:
    """Before the first call, once warm, and all along."""
    return [samples[0], settled, *samples[1:]]


if __name__ == "__main__":
    sys.exit(main())
