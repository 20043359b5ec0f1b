"""`make bench-hold`: how soon playout is held when the caller speaks, how often for nothing; the parrot spoken over.

Prints tables with a verdict on each target, and writes `bench-results/hold.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.hold import detector, parrot
from loadtest.hold.cases import Maker
from loadtest.hold.detector import Found
from loadtest.hold.sound import recorded
from loadtest.measuring import servers
from loadtest.measuring.tools import ROOT, BenchError

if TYPE_CHECKING:
    from loadtest.hold.parrot import Interruptions


def main() -> int:
    """Returns 1 if something could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["detector", "parrot"], help="measure this part alone")
    parser.add_argument("--tuned", action="store_true", help="on the recordings that the detector was tuned on")
    parser.add_argument("--loss", type=int, default=0, help="percent of loss, against which the caller sends FEC")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--interruptions", type=int, default=36)
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"seed": arguments.seed, "recorded": recorded(), "tuned": arguments.tuned}
    try:
        if arguments.only != "parrot":
            maker = Maker(arguments.seed, held_out=not arguments.tuned, loss_percent=arguments.loss)
            found = detector.measure(maker.cases())
            print(detector_table(found))
            results["detector"] = {
                kind: {group: vars(one) for group, one in groups.items()} for kind, groups in found.items()
            }
        if arguments.only != "detector":
            with servers.antiphon() as server:
                spoken = asyncio.run(parrot.measure(server.url.partition("/v1/")[0], arguments.interruptions))
            print(parrot_table(spoken))
            results["parrot"] = vars(spoken)
    except BenchError as error:
        print(f"bench-hold: {error}", file=sys.stderr)
        return 1
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "hold.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


def detector_table(found: dict[str, dict[str, Found]]) -> str:
    lines = ["| onset in | onsets | within 60 ms | p50 | p90 | p99 |", "|---|---|---|---|---|---|"]
    onsets = found["onset"]
    together = Found([delay for one in onsets.values() for delay in one.delays_ms])
    for group, one in {**onsets, "all": together}.items():
        quantiles = " | ".join(milliseconds(one.quantile(percent)) for percent in (50, 90, 99))
        lines.append(f"| {group} | {len(one.delays_ms)} | {one.within(detector.TARGET_MS):.0%} | {quantiles} |")
    lines += ["", "| false holds in | a minute | worst case | target |", "|---|---|---|---|"]
    for kind in ("noise", "echo"):
        for group, one in found[kind].items():
            met = "met" if one.worst <= detector.TARGET_FALSE else "missed"
            lines.append(f"| {kind}: {group} | {one.a_minute:.2f} | {one.worst:.1f} | {met} |")
    return "\n".join(lines) + "\n"


def milliseconds(value: float) -> str:
    return "none" if value == float("inf") else f"{value:.0f} ms"


def parrot_table(spoken: Interruptions) -> str:
    worst = max(spoken.delays_ms)
    met = "met" if worst <= parrot.TARGET_MS else "missed"
    quantiles = ", ".join(f"p{percent} {spoken.quantile(percent):.0f}" for percent in (50, 90, 99))
    counters = ", ".join(f"{name} {value:.0f}" for name, value in sorted(spoken.edge.items()))
    return (
        f"The parrot, spoken over {len(spoken.delays_ms)} times: silent after {quantiles}, at most {worst:.0f} ms "
        f"(target {parrot.TARGET_MS:.0f} ms {met})\n{counters}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
