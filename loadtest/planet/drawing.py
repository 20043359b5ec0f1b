"""Plots and words of docs/placement.md, made from the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from loadtest.planet.claims import TARGET_MS, TARGET_RATE
from loadtest.planet.day import EDGES, OUTAGES
from loadtest.planet.tables import BEST_MS, KINDS, markdown
from loadtest.planet.world import REGIONS, WORKER_REGIONS
from loadtest.plots.tables import column, select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from loadtest.planet.claims import Found
    from loadtest.planet.day import Result
    from loadtest.planet.tables import Row

_BEST, _CHOSEN, _LOAD = "#8a8f98", "#1f8a5b", "#3b7dd8"
_CALL_S = 300
_READINGS = 5
"""Of the membership, each second, by each signaling node (signaling/survey.py)."""
_FULL = 0.9
"""So much of all cores in use is all that there is."""
_STEPS = ("learned", "claim", "update", "release")


def day(rows: Sequence[Row]) -> Figure:
    figure, (ways, longer, load) = plt.subplots(3, 1, figsize=(9, 7.2), layout="constrained", sharex=True)
    hours = column(rows, "hour")
    for quantile, style in ((50, "-"), (99, "--")):
        ways.plot(hours, column(rows, f"best_p{quantile}"), style, color=_BEST, label=f"best possible, p{quantile}")
        ways.plot(hours, column(rows, f"chosen_p{quantile}"), style, color=_CHOSEN, label=f"chosen, p{quantile}")
        longer.plot(hours, column(rows, f"longer_p{quantile}"), style, color=_CHOSEN, label=f"p{quantile}")
    ways.set(title="round trip from the caller over the edge to a worker, ms", ylim=(0, None))
    longer.set(title="by how much the chosen way is longer than the best one, ms", ylim=(-4, None))
    load.plot(hours, column(rows, "sessions"), color=_LOAD, label="calls at a time")
    load.set(
        title="calls at a time, and how uneven the edges of a region are", xlabel="hour of the day, UTC", ylim=(0, None)
    )
    uneven = load.twinx()
    uneven.plot(
        hours, column(rows, lambda row: 100 * float(row["uneven"])), color="#d9822b", label="fullest edge over mean, %"
    )
    uneven.set(ylim=(0, 30), ylabel="%")
    uneven.grid(visible=False)
    for axes in (ways, longer):
        axes.legend(loc="center left", ncols=4)
    handles = [*load.get_lines(), *uneven.get_lines()]
    load.legend(handles, [line.get_label() for line in handles], loc="center left", ncols=2)
    for axes in (ways, longer, load):
        _outages(axes)
    return figure


def _outages(axes: Axes) -> None:
    for one in OUTAGES:
        axes.axvspan(one.from_s / 3600, one.to_s / 3600, color="#f3d9d6", zorder=0)
        axes.annotate(f" {one.region} down", (one.from_s / 3600, 0.03), xycoords=("data", "axes fraction"), fontsize=7)


def day_in_words(evidence: Sequence[Row], result: Result, seed: int) -> str:
    head = (
        "what is known of the caller",
        "calls",
        "chosen, p50 / p99",
        "best possible, p50 / p99",
        "longer by, p50 / p99",
        f"within {BEST_MS:.0f} ms of the best",
    )
    rows = [
        (
            KINDS.get(row["evidence"], "all"),
            f"{int(row['calls']):,}",
            *(f"{row[f'{name}_p50']} / {row[f'{name}_p99']} ms" for name in ("chosen", "best", "longer")),
            f"{100 * float(row['at_best']):.1f} %",
        )
        for row in evidence
    ]
    (whole,) = select(evidence, evidence="all")
    worst = max((uneven for _, uneven in result.uneven), default=0.0)
    mean = sum(uneven for _, uneven in result.uneven) / max(1, len(result.uneven))
    paragraphs = (
        (
            f"{len(REGIONS)} regions of {EDGES} edges, workers in {len(WORKER_REGIONS)} of them, seed {seed}; "
            f"{len(result.placed):,} placements, {max(count for _, count in result.sessions):,} calls at a time at "
            "the peak. Round trips are from the caller over the edge to its worker:"
        ),
        markdown(head, rows),
        (
            f"To the edge alone: chosen {whole['edge_chosen_p50']} / {whole['edge_chosen_p99']} ms, nearest possible "
            f"{whole['edge_best_p50']} / {whole['edge_best_p99']} ms: where the worker is far, an edge on the way to "
            "it is as good as one next door."
        ),
        (
            f"The fullest edge of a region has {100 * mean:.1f} % more than its region's mean, {100 * worst:.1f} % in "
            f"the worst ten minutes. {result.second_choice:,} calls found their first edge full and took the next; "
            f"{result.moved:,} were cut by an outage and placed elsewhere; {result.refused:,} found no room."
        ),
    )
    return "\n\n".join(paragraphs)


def bursts_in_words(rows: Sequence[Row]) -> str:
    head = ("calls between two readings of the loads", "all to the emptiest", "the emptier of two at random")
    told = [
        (row["burst"], *(f"{100 * float(row[name]):.0f} %" for name in ("emptiest", "best_of_two"))) for row in rows
    ]
    return markdown(head, told)


def claims(rows: Sequence[Row], two: Sequence[Row]) -> Figure:
    figure, (late, busy) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    rates = column(rows, "rate")
    late.plot(rates, column(rows, "p99_ms"), color=_CHOSEN, marker="o", label="p99, one Valkey")
    late.plot(column(two, "rate"), column(two, "p99_ms"), color=_LOAD, marker="s", label="p99, two")
    late.plot(rates, column(rows, "sent_late_p99_ms"), color=_BEST, marker="x", label="p99 of the load's own lateness")
    late.plot(rates, column(rows, "p50_ms"), color=_CHOSEN, linestyle=":", label="median")
    late.axhline(TARGET_MS, color=_BEST, linestyle=":")
    late.axvline(TARGET_RATE, color=_BEST, linestyle=":")
    late.set(title="time of a placement in Valkey, ms", xlabel="placements a second", yscale="log")
    late.legend()
    busy.plot(rates, column(rows, "valkey_cores"), color=_LOAD, marker="s", label="Valkey")
    busy.plot(rates, column(rows, "load_cores"), color=_BEST, marker="x", label="the load")
    busy.plot(
        column(two, "rate"), column(two, "valkey_cores"), color=_LOAD, marker="s", linestyle=":", label="each of two"
    )
    busy.set(title="cores", xlabel="placements a second", ylim=(0, 1.05))
    busy.legend()
    return figure


def claims_in_words(found: Found, machine: Mapping[str, object]) -> str:
    head = (
        "due a second",
        "placed a second",
        "p50",
        "p99",
        "load sent late, p99",
        "Valkey's core",
        "waited for a core",
    )
    rows = [
        (
            row["rate"],
            row["placed"],
            f"{row['p50_ms']} ms",
            f"{row['p99_ms']} ms",
            f"{row['sent_late_p99_ms']} ms",
            f"{100 * float(row['valkey_cores']):.0f} %",
            f"{100 * float(row['valkey_waited']):.0f} %",
        )
        for row in found.rows
    ]
    costs = found.costs_us
    placement = sum(costs[name] for name in _STEPS)
    at_target = [row for row in found.rows if row["rate"] == str(TARGET_RATE)]
    met = any(float(row["p99_ms"]) <= TARGET_MS and float(row["placed"]) >= 0.98 * TARGET_RATE for row in at_target)
    reached = at_target[0]["p99_ms"] + " ms" if at_target else "not reached"
    alone = int(1e6 / (costs["hold"] + placement / _CALL_S))
    paragraphs = (
        (
            f"Measured on {machine['cpu']}, {machine['cores']} cores, {str(machine['at'])[:10]}, load and Valkey on "
            f"the same machine, where others' work made a load average of {found.busy:.1f}. "
            f"Target: {TARGET_RATE:,} a second with p99 ≤ {TARGET_MS:.0f} ms: {reached}, "
            f"{'met' if met else '**not met**'}."
        ),
        markdown(head, rows),
        (
            f"What Valkey's one thread spends: {', '.join(f'`{name}` {costs[name]:.0f} us' for name in _STEPS)}, "
            f"{placement:.0f} us a placement, so that {int(1e6 / placement):,} a second are the most; "
            f"`hold` {costs['hold']:.0f} us for each live session each second; `members` {costs['members']:.0f} us, "
            f"{_READINGS} times a second for each signaling node: {costs['members'] * _READINGS / 1e4:.1f} % of it."
        ),
        (
            f"So one Valkey ends at about {alone:,} live sessions. With calls of {_CALL_S // 60} minutes those make "
            f"only {int(alone / _CALL_S):,} placements a second: it is the renewal of slots that fills it, not claims."
        ),
    )
    return "\n\n".join(paragraphs)


def two_in_words(one: Found, two: Found, machine: Mapping[str, object]) -> str:
    """What a second Redis brings, for another region's edges."""
    head = (
        "due a second",
        "placed a second",
        "p50",
        "p99",
        "the busier Valkey's core",
        "waited for a core",
        "all cores",
    )
    rows = [
        (
            row["rate"],
            row["placed"],
            f"{row['p50_ms']} ms",
            f"{row['p99_ms']} ms",
            f"{100 * float(row['valkey_cores']):.0f} %",
            f"{100 * float(row['valkey_waited']):.0f} %",
            f"{float(row['all_cores']):.2f}",
        )
        for row in two.rows
    ]
    placement = sum(one.costs_us[name] for name in _STEPS)
    full = next((row for row in two.rows if float(row["all_cores"]) > _FULL * float(str(machine["cores"]))), None)
    paragraphs = [
        (
            "Two regions, each with a Valkey and half of the edges, on the same machine "
            f"({machine['cores']} cores for both and the load), others' load average {two.busy:.1f}:"
        ),
        markdown(head, rows),
        (
            f"With p99 ≤ {TARGET_MS:.0f} ms one Valkey placed {_held(one.rows):,} a second, two {_held(two.rows):,}. "
            f"A placement costs the Redis of its region {placement:.0f} us and the others nothing: regions with a core "
            f"each for their Redis carry {int(1e6 / placement):,} a second each at most."
        ),
    ]
    if full is not None:
        paragraphs.append(
            f"From {int(full['rate']):,} a second on the two and the load used {float(full['all_cores']):.2f} of this "
            "machine's cores: what is beyond is the machine's end, not theirs."
        )
    return "\n\n".join(paragraphs)


def _held(rows: Sequence[Row]) -> int:
    """The highest rate that was placed in time, a second."""
    kept = (
        row for row in rows if float(row["p99_ms"]) <= TARGET_MS and float(row["placed"]) >= 0.98 * int(row["rate"])
    )
    return max((int(row["rate"]) for row in kept), default=0)
