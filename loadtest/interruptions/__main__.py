"""`make bench-interruptions`: sounds over an agent's speech, through a whole cluster, at 0 and 5 % loss.

Time to hold, time to flush, and how often what is no interruption let the agent go on where it was held. Agents with
sounds alone, and with a recogniser and interrupted by words alone. Prints tables with 95 % intervals, and writes
`bench-results/interruptions.json` (`python -m loadtest.plots.interruptions` draws it).
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

import numpy as np

from loadtest.interruptions import echoes, storyteller
from loadtest.interruptions.calls import Event, measure
from loadtest.interruptions.sounds import Sound, recorded_coughs, sounds
from loadtest.measuring import servers
from loadtest.measuring.intervals import wilson
from loadtest.measuring.tools import ROOT

AGENTS = ("storyteller", "listening-storyteller")
TARGETS = {"held p95": 60.0, "flushed p95": 350.0, "assents": 0.85, "noises": 0.95}
_ASSENTS, _NOISES = ("assent", "hum"), ("cough", "typing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    results: dict[str, list[Event]] = {}
    with servers.antiphon(Path(storyteller.__file__)) as server:
        url = server.url.partition("/v1/")[0]
        for agent in arguments.agents:
            for loss in arguments.loss:
                shuffled = [mixed[index] for index in order]
                found = asyncio.run(measure(url, agent, shuffled, loss=loss, callers=arguments.callers))
                results[f"{agent} {loss:.0%}"] = found
                print(table(agent, loss, found), flush=True)
        if arguments.echo_s:
            print(echoes.table(asyncio.run(loudspeakers(url, arguments.echo_s))), flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    document = {"seed": arguments.seed, "recorded_coughs": recorded_coughs(),
                "events": [{"agent": name.partition(" ")[0], **event.as_dict()}
                           for name, found in results.items() for event in found]}  # fmt: skip
    (arguments.output / "interruptions.json").write_text(json.dumps(document, indent=0) + "\n", encoding="utf-8")


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
    speech = [event for event in events if event.kind == "speech"]
    lines.append(_verdict("held p95", _quantile([event.held_ms for event in speech], 95), "ms", most=True))
    lines.append(_verdict("flushed p95", _quantile([event.flushed_ms for event in speech], 95), "ms", most=True))
    for name, members in (("assents", _ASSENTS), ("noises", _NOISES)):
        of_them = [event for event in events if event.kind in members]
        lines.append(_verdict(name, float(np.mean([went_on(event) for event in of_them])), "", most=False))
    return "\n".join(lines) + "\n"


def went_on(event: Event) -> bool:
    """The agent was not interrupted: never held, or resumed where it was held."""
    return event.flushed_ms is None and (event.held_ms is None or event.resumed_ms is not None)


def _row(kind: str, events: list[Event]) -> str:
    on = sum(map(went_on, events))
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
    main()
