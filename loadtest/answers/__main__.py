"""`make bench-answers`: how long callers wait for the offline assistant, stage by stage, over a whole cluster.

The stages are those of the turns' own latency traces (docs/latency.md). The caller is aiortc on the same machine, so
its share of the cores is in the figures; it has no jitter buffer. Prints a table, writes `bench-results/answers.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tests.support.speech import say

from antiphon.client import RATE, Caller
from loadtest.kinds.voices import trimmed
from loadtest.measuring import servers
from loadtest.measuring.tools import ROOT
from loadtest.measuring.tools import say as progress

if TYPE_CHECKING:
    from antiphon.client.journal import Journal, Trace

TARGET_MS = 1000.0
_QUESTIONS = (
    "What time is it?",
    "Please count to three.",
    "Hello, how are you today?",
    "My name is Robert.",
    "Thank you very much.",
    "Which day is it today?",
)
_VOICES = ("en-us", "de", "fr")
_OURS = ("received", "sent")
"""Stages between the caller's device and the worker, which no model and no patience has a part in."""


async def ask(url: str, wanted: int) -> list[Trace]:
    """Asks so many questions, one after the other's answer; six a call."""
    traces: list[Trace] = []
    while len(traces) < wanted:
        async with Caller(url, agent="assistant", region=servers.REGION) as call:
            journal = call.journal
            await call.wait_for(partial(_greeted, journal), within=60)
            for number in range(1, 1 + min(len(_QUESTIONS), wanted - len(traces))):
                at = len(traces)
                words = say(_QUESTIONS[at % len(_QUESTIONS)], RATE, _VOICES[at // len(_QUESTIONS) % len(_VOICES)])
                await call.play(np.concatenate([np.zeros(RATE // 2, np.int16), trimmed(words)]))
                await call.wait_for(partial(journal.traces.__contains__, number), within=60)
                await call.wait_for(partial(_silent, journal), within=60)
                traces.append(call.journal.traces[number])
                progress(f"answer {len(traces)}: {traces[-1].outcome}, {traces[-1].response_ms} ms")
    return traces


def _greeted(journal: Journal) -> bool:
    return bool(journal.utterances) and not journal.speaking()


def _silent(journal: Journal) -> bool:
    return not journal.speaking()


def table(traces: list[Trace]) -> str:
    answered = [trace for trace in traces if trace.response_ms is not None]
    lines = ["| stage | p50 | p90 | most |", "|---|---|---|---|"]
    names = dict.fromkeys(stage for trace in answered for stage, _ in trace.stages)
    lines += [_row(f"`{name}`", [dict(trace.stages).get(name, 0.0) for trace in answered]) for name in names]
    whole = [trace.response_ms for trace in answered if trace.response_ms is not None]
    lines.append(_row("the whole", whole))
    ours = [sum(took for name, took in trace.stages if name in _OURS) for trace in answered]
    lines.append(_row("of it on the way to the worker and back", ours))
    met = "met" if whole and float(np.median(whole)) <= TARGET_MS else "missed"
    lines += ["", f"{len(answered)} of {len(traces)} turns answered. Target, 1 s at p50: {met}."]
    return "\n".join(lines)


def _row(name: str, values: list[float]) -> str:
    p50, p90, most = np.percentile(values or [float("nan")], [50, 90, 100])
    return f"| {name} | {p50:.0f} ms | {p90:.0f} ms | {most:.0f} ms |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=36)
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results")
    arguments = parser.parse_args()
    with servers.antiphon() as server:
        traces = asyncio.run(ask(server.url.partition("/v1/")[0], arguments.questions))
    print(table(traces))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "answers.json").write_text(json.dumps([vars(trace) for trace in traces], indent=1), "utf-8")


if __name__ == "__main__":
    main()
