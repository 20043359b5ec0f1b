"""Loss on the way down: what of an agent's speech is there when a jitter buffer of 60 ms plays it, by repair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from loadtest.plots.style import REPAIRS
from loadtest.plots.tables import Row, column, select

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXAMPLE = "loss_down"
NAME = "loss-down"

_FLOOR = 0.02
"""Percent below which a share is drawn at the edge: fewer frames than that were sent."""
_MODELS = {"random": "random loss", "bursts": "bursts of 60 ms on average"}
_CALM = {"jitter_ms": "0", "reorder": "0"}
_LABELS = {"nack": "NACK, else sent again unasked", "red": "adaptive RED", "red+nack": "adaptive RED and NACK"}
_REPEAT = {"repeat": ("sent again unasked", "#a05fb5", "d")}
_MEANS = {"none": REPAIRS["none"], **_REPEAT, **REPAIRS}


def draw(rows: list[Row]) -> Figure:
    figure, grid = plt.subplots(2, 3, figsize=(11, 6.4), layout="constrained")
    for line, (model, words) in zip(grid, _MODELS.items(), strict=True):
        calm = select(rows, loss_model=model, **_CALM)
        _missing(line[0], select(calm, rtt_ms="40"), f"not there when played\n{words}, RTT 40 ms")
        _missing(line[1], select(calm, rtt_ms="150"), f"not there when played\n{words}, RTT 150 ms")
        _cost(line[2], select(calm, rtt_ms="40"), f"packets' worth sent besides\n{words}, RTT 40 ms")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def words(rows: list[Row]) -> str:
    """The heart of the table, in Markdown: percent of frames in time, and what that costs."""
    calm = select(rows, **_CALM)
    shares = sorted({row["loss"] for row in calm}, key=float)
    header = " | ".join(f"{100 * float(share):.0f} %" for share in shares)
    lines = [f"| loss | round trip | repair | {header} | sent besides at 10 % |", "|---" * (4 + len(shares)) + "|"]
    for model in _MODELS:
        for rtt_ms in ("40", "150"):
            for repair, (label, _, _) in _MEANS.items():
                mine = select(calm, loss_model=model, rtt_ms=rtt_ms, repair=repair)
                in_time = " | ".join(f"{100 * float(row['in_time']):.2f}" for row in mine)
                at_ten = select(mine, loss="0.1")[0]
                besides = float(at_ten["redundancy"]) + float(at_ten["again"])
                lines.append(f"| {model} | {rtt_ms} ms | {_LABELS.get(repair, label)} | {in_time} | {besides:.2f} |")
    return "\n".join(lines)


def _missing(axes: Axes, rows: list[Row], title: str) -> None:
    for repair, (label, colour, mark) in _MEANS.items():
        mine = select(rows, repair=repair)
        share = column(mine, lambda row: max(_FLOOR, 100 - 100 * float(row["in_time"])))
        loss = column(mine, lambda row: 100 * float(row["loss"]))
        axes.plot(loss, share, color=colour, marker=mark, label=_LABELS.get(repair, label))
    axes.axhline(0.5, color="#8a8f98", linestyle=":")
    axes.set(
        title=title, xscale="log", yscale="log", ylim=(_FLOOR * 0.8, 60), xlabel="loss each way, %", ylabel="frames, %"
    )
    axes.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.set_yticks([_FLOOR, 0.1, 0.5, 1, 10, 50], ["none", "0.1", "0.5", "1", "10", "50"])
    axes.minorticks_off()


def _cost(axes: Axes, rows: list[Row], title: str) -> None:
    for repair, (label, colour, mark) in _MEANS.items():
        mine = select(rows, repair=repair)
        besides = column(mine, lambda row: float(row["redundancy"]) + float(row["again"]))
        loss = column(mine, lambda row: 100 * float(row["loss"]))
        axes.plot(loss, besides, color=colour, marker=mark, label=_LABELS.get(repair, label))
    axes.set(title=title, xscale="log", xlabel="loss each way, %", ylabel="for each frame", ylim=(0, None))
    axes.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.minorticks_off()
