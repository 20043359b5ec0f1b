"""`make bench-interruptions`: sounds over an agent's speech: by the decision alone, and through a whole cluster.

The decision alone is in virtual time, so that the machine does not matter; the whole path is at 0 and 5 % loss, with an
agent that goes by sounds alone, and one with a recogniser that is interrupted by words alone. Time to hold, time to
flush, and how often what is no interruption let the agent go on where it was held. Prints tables with 95 % intervals,
and writes `bench-results/interruptions.json` (`python -m loadtest.plots.interruptions` draws it).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from antiphon.callers import NoCallersError
from loadtest.interruptions import echoes, storyteller
from loadtest.interruptions.calls import measure
from loadtest.interruptions.decision import decide
from loadtest.interruptions.sounds import Sound, recorded_coughs, sounds
from loadtest.measuring import servers
from loadtest.measuring.intervals import wilson
from loadtest.measuring.tools import ROOT, BenchError

if TYPE_CHECKING:
    from loadtest.interruptions.event import Event

DECISION = "decision 0%"
AGENTS = ("storyteller", "listening-storyteller")
TARGETS = {"held p95": 60.0, "flushed p95": 350.0, "assents": 0.85, "noises": 0.95}
_ASSENTS, _NOISES = ("assent", "hum"), ("cough", "typing")


def main() -> int:
    """Returns 1 if something could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["decision", "path"], help="measure this part alone")
    parser.add_argument("--each", type=int, default=200, help="sounds of each kind")
    parser.add_argument("--callers", type=int, default=6, help="at a time")
    parser.add_argument("--loss", type=float, nargs="*", default=[0.0, 0.05])
    parser.add_argument("--agents", nargs="*", choices=AGENTS, default=AGENTS)
    parser.add_argument("--echo-s", type=float, default=60.0, help="length of a call at a loudspeaker; 0: none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results")
    arguments = parser.parse_args()
    chosen = sounds(arguments.each, arguments.seed)
    mixed: list[Sound] = [one for kind in chosen.values() for one in kind]
    order = np.random.default_rng(arguments.seed).permutation(len(mixed))
    shuffled = [mixed[index] for index in order]
    results: dict[str, list[Event]] = {}
    try:
        if arguments.only != "path":
            results[DECISION] = decide(shuffled, arguments.seed)
            print(table("the decision alone, in virtual time", 0.0, results[DECISION]), flush=True)
        if arguments.only != "decision":
            results |= through_a_cluster(arguments, shuffled)
    except (BenchError, NoCallersError) as error:
        print(f"bench-interruptions: {error}", file=sys.stderr)
        return 1
    arguments.output.mkdir(parents=True, exist_ok=True)
    document = {"seed": arguments.seed, "recorded_coughs": recorded_coughs(),
                "events": [{"agent": name.partition(" ")[0], **event.as_dict()}
                           for name, found in results.items() for event in found]}  # fmt: skip
    (arguments.output / "interruptions.json").write_text(json.dumps(document, indent=0) + "\n", encoding="utf-8")
    return 0


def through_a_cluster(arguments: argparse.Namespace, chosen: list[Sound]) -> dict[str, list[Event]]:
    """Raises BenchError, NoCallersError."""
    results: dict[str, list[Event]] = {}
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as directory:
        log = Path(directory) / "ends.jsonl"
        with servers.antiphon(Path(storyteller.__file__), env={storyteller.LOG: str(log)}) as server:
            url = server.url.partition("/v1/")[0]
            for agent in arguments.agents:
                for loss in arguments.loss:
                    found = asyncio.run(measure(url, log, agent, chosen, loss=loss, callers=arguments.callers))
                    results[f"{agent} {loss:.0%}"] = found
                    print(table(agent, loss, found), flush=True)
            if arguments.echo_s:
                print(echoes.table(asyncio.run(loudspeakers(url, arguments.echo_s))), flush=True)
    return results


async def loudspeakers(url: str, seconds: float) -> list[echoes.Echoed]:
    """Two calls for each loss of the echo's way, one after the other: each wants a core's time for itself."""
    losses = [loss_db for loss_db in echoes.LOSSES_DB for _ in range(2)]
    return [await echoes.listen(url, AGENTS[0], loss_db, seconds) for loss_db in losses]


def table(agent: str, loss: float, events: list[Event]) -> str:
    voices = len({event.voice for event in events})
    lines = [
        f"{agent}, {loss:.0%} loss, {len(events)} sounds of {voices} voices",
        "",
        "| sound | held within p50 | p95 | flushed | after p50 | p95 | went on | 95 % interval |",
        "|---|---|---|---|---|---|---|---|",
    ]
    kinds = sorted({event.kind for event in events})
    lines += [_row(kind, [event for event in events if event.kind == kind]) for kind in kinds]
    lines.append("")
    speech = [event for event in events if event.kind in ("speech", "person")]
    lines.append(_verdict("held p95", _quantile([event.held_ms for event in speech], 95), "ms", most=True))
    lines.append(_verdict("flushed p95", _quantile([event.flushed_ms for event in speech], 95), "ms", most=True))
    for name, members in (("assents", _ASSENTS), ("noises", _NOISES)):
        of_them = [event for event in events if event.kind in members]
        lines.append(_verdict(name, float(np.mean([event.went_on for event in of_them])), "", most=False))
    return "\n".join(lines) + "\n"


def _row(kind: str, events: list[Event]) -> str:
    on = sum(event.went_on for event in events)
    low, high = wilson(on, len(events))
    held, flushed = [event.held_ms for event in events], [event.flushed_ms for event in events]
    cut = sum(one is not None for one in flushed) / len(events)
    return (
        f"| {kind} ({len(events)}) | {_told(_quantile(held, 50))} | {_told(_quantile(held, 95))} | {cut:.0%} "
        f"| {_told(_quantile(flushed, 50))} | {_told(_quantile(flushed, 95))} "
        f"| {on / len(events):.0%} | {low:.0%} to {high:.0%} |"
    )


def _quantile(values: list[float | None], percent: float) -> float:
    """Of those that happened."""
    happened = [value for value in values if value is not None]
    return float(np.percentile(happened, percent)) if happened else float("nan")


def _told(milliseconds: float) -> str:
    return "-" if np.isnan(milliseconds) else f"{milliseconds:.0f} ms"


def _verdict(name: str, value: float, unit: str, *, most: bool) -> str:
    target = TARGETS[name]
    met = value <= target if most else value >= target
    told, wanted = (f"{value:.0f} {unit}", f"{target:.0f} {unit}") if unit else (f"{value:.0%}", f"{target:.0%}")
    return f"- {name}: {told} (target {'at most' if most else 'at least'} {wanted}: {'met' if met else 'missed'})"


if __name__ == "__main__":
    sys.exit(main())
