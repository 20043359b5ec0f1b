"""Loss on the way up: what share of a caller's frames reaches the worker, and how late, by means of repair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from loadtest.plots.style import REPAIRS
from loadtest.plots.tables import Row, column, select

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXAMPLE = "loss_up"
NAME = "loss-up"

_FLOOR = 0.005
"""Percent below which a share is drawn at the edge: fewer frames than that were sent."""
_MODELS = {"random": "random loss", "bursts": "bursts of 60 ms on average"}
_CALM = {"jitter_ms": "0", "reorder": "0"}


def draw(rows: list[Row]) -> Figure:
    figure, grid = plt.subplots(2, 3, figsize=(11, 6.4), layout="constrained")
    for line, (model, words) in zip(grid, _MODELS.items(), strict=True):
        calm = select(rows, loss_model=model, **_CALM)
        at_80 = select(calm, rtt_ms="80")
        _missing(line[0], at_80, "reached", f"never reach the worker\n{words}, RTT 80 ms")
        _missing(
            line[1], at_80, "before_round_trip", f"miss a turn handed over one RTT after its end\n{words}, RTT 80 ms"
        )
        _lateness(line[2], select(calm, loss="0.1"), f"how late repaired frames come\n10 % lost, {words}")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def words(rows: list[Row]) -> str:
    """The heart of the table, in Markdown."""
    head = "| | repair | reach the worker | with FEC | in time for a turn handed over a round trip after its end |"
    lines = [f"{head} repaired ones late by, median / p99 |", "|---|---|---|---|---|---|"]
    for model in ("random", "bursts", "outages"):
        for row in select(rows, loss_model=model, loss="0.1", rtt_ms="80", **_CALM):
            late = "" if row["repair"] == "none" else f"{row['repaired_p50_ms']} / {row['repaired_p99_ms']} ms"
            shares = (f"{100 * float(row[name]):.2f}" for name in ("reached", "with_fec", "before_round_trip"))
            lines.append(f"| {model} | {REPAIRS[row['repair']][0]} | {' | '.join(shares)} | {late} |")
    worst = min(select(rows, repair="red+nack"), key=lambda row: float(row["reached"]))
    where = f"{worst['loss_model']}, {100 * float(worst['loss']):.0f} % lost, round trip {worst['rtt_ms']} ms"
    through = f"{100 * float(worst['reached']):.2f} %"
    return "\n".join([*lines, "", f"With RED and NACK, the worst of all networks ({where}) lets {through} through."])


def _missing(axes: Axes, rows: list[Row], reached: str, title: str) -> None:
    for repair, (label, colour, mark) in REPAIRS.items():
        mine = select(rows, repair=repair)
        share = column(mine, lambda row: max(_FLOOR, 100 - 100 * float(row[reached])))
        axes.plot(column(mine, lambda row: 100 * float(row["loss"])), share, color=colour, marker=mark, label=label)
    axes.set(
        title=title, xscale="log", yscale="log", ylim=(_FLOOR * 0.8, 60), xlabel="loss each way, %", ylabel="frames, %"
    )
    axes.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.set_yticks([_FLOOR, 0.1, 1, 10, 50], ["none", "0.1", "1", "10", "50"])
    axes.minorticks_off()


def _lateness(axes: Axes, rows: list[Row], title: str) -> None:
    for repair, (label, colour, mark) in REPAIRS.items():
        mine = select(rows, repair=repair)
        if repair == "none":
            continue
        round_trips = column(mine, "rtt_ms")
        axes.plot(round_trips, column(mine, "repaired_p99_ms"), color=colour, marker=mark, label=label)
        axes.plot(round_trips, column(mine, "repaired_p50_ms"), color=colour, linestyle=":")
    axes.set(title=title, xlabel="RTT, ms", ylabel="ms (p99; dotted: median)", ylim=(0, None))
