"""`make bench-turns`: false cut-offs against the delay of the answer, for silence, the model alone, each eagerness.

Offline and in virtual time: the machine hears real audio through the real models, so the machine that runs it does not
matter. Prints a table with 95 % intervals, and writes `bench-results/turns.json`.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

from antiphon.turns import EAGERNESS, TurnPolicy, with_eagerness
from loadtest.measuring.intervals import wilson
from loadtest.measuring.tools import ROOT
from loadtest.turns.clips import clips
from loadtest.turns.judging import Ears, Outcome, judge

_TIMEOUTS_S = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
_REFERENCE_S = 0.7
_TARGET = 0.6
"""At no more cut-offs than the reference, the median delay is at most this share of its."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results")
    output = parser.parse_args().output
    ears = Ears()
    found, recorded = clips()
    heard = [ears.hear(clip) for clip in found]
    plain = TurnPolicy(least_scale=1.0, most_scale=1.0)
    outcomes: dict[str, Outcome] = {}
    for seconds in _TIMEOUTS_S:
        policy = replace(plain, silence_s=seconds, tentative_s=seconds)
        outcomes[f"silence of {seconds:.1f} s"] = judge(policy, ears, heard, asks=False)
    alone = replace(plain, certain=0.5, unlikely=0.4999, certain_s=0.2, unsure_s=3.0)
    outcomes["model alone (0.5 after 0.2 s, else 3 s)"] = judge(alone, ears, heard, asks=True)
    for eagerness in EAGERNESS:
        policy = with_eagerness(TurnPolicy(), eagerness)
        outcomes[eagerness] = judge(policy, ears, heard, asks=True)
        outcomes[f"{eagerness}, with a recogniser"] = judge(policy, ears, heard, asks=True, words=True)
    print(table(outcomes, len(heard), recorded=recorded))
    output.mkdir(parents=True, exist_ok=True)
    results = {
        "recorded": recorded,
        "turns": len(heard),
        "judges": {name: vars(outcome) for name, outcome in outcomes.items()},
    }
    (output / "turns.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def table(outcomes: dict[str, Outcome], turns: int, *, recorded: bool) -> str:
    pauses = next(iter(outcomes.values())).pauses
    lines = [
        f"{turns} turns with {pauses} pauses of 0.2 s and more, {'recorded' if recorded else 'SYNTHESISED'}",
        "",
        "| judge | pauses cut off | 95 % interval | delay median | p90 |",
        "|---|---|---|---|---|",
    ]
    for name, one in outcomes.items():
        low, high = wilson(one.cut_off, one.pauses)
        p90 = sorted(one.delays_s)[math.ceil(0.9 * len(one.delays_s)) - 1]
        share = one.cut_off / max(1, one.pauses)
        lines.append(f"| {name} | {share:.0%} | {low:.0%} to {high:.0%} | {one.median_s:.2f} s | {p90:.2f} s |")
    reference = outcomes[f"silence of {_REFERENCE_S:.1f} s"]
    ours = [name for name in outcomes if name.partition(",")[0] in EAGERNESS]
    good = [name for name in ours if outcomes[name].cut_off <= reference.cut_off]
    best = min((outcomes[name].median_s for name in good), default=math.inf) / reference.median_s
    verdict = "none cuts off as seldom" if not good else f"{best:.0%} of its median delay"
    met = "met" if best <= _TARGET else "missed"
    lines += ["", f"Of the eagernesses that cut off no more than {_REFERENCE_S} s of silence: {verdict}"]
    lines += [f"(target: at most {_TARGET:.0%}, {met})"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
