"""Draws the dashboards as PNGs from what a Prometheus has: `python -m deploy.grafana.draw URL FOLDER [MINUTES]`.

A picture for the docs, made without Grafana: the same panels at the same places with the same expressions; colours,
variables and what readers can click are Grafana's.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import matplotlib as mpl
import matplotlib.pyplot as plt
from deploy.grafana.boards import DASHBOARDS
from deploy.grafana.model import document
from matplotlib.ticker import FuncFormatter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

Line = tuple[str, list[float], list[float]]
"""A name, minutes before now, values."""
_STEP_S = 15
_INTERVAL = "1m"
_ROW, _COLUMN = 0.36, 0.62
"""Inches of a grid cell."""
_INK, _LIGHT = "#333333", "#dddddd"
_GOOD = "#37872d"
_THRESHOLDS = ("#d9a400", "#c4162a")


def main(url: str, folder: str, minutes: float) -> None:
    mpl.use("Agg")
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        for dashboard in DASHBOARDS:
            if not dashboard.api:
                draw(http, json.loads(document(dashboard)), Path(folder) / f"{dashboard.uid}.png", minutes)


def draw(http: httpx.Client, dashboard: dict[str, Any], file: Path, minutes: float) -> None:
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    figure = plt.figure(figsize=(24 * _COLUMN, rows * _ROW + 0.5), facecolor="white")
    figure.suptitle(dashboard["title"], x=0.01, y=0.995, ha="left", va="top", fontsize=12, color=_INK)
    height = rows + 1.4
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        top = 1 - (place["y"] + 1.4) / height
        if panel["type"] == "row":
            figure.text(0.01, top - 0.5 / height, panel["title"], fontsize=10, weight="bold", color=_INK, va="center")
            continue
        box = (place["x"] / 24 + 0.028, top - (place["h"] - 1.3) / height, place["w"] / 24 - 0.04)
        axes = figure.add_axes((*box, (place["h"] - 2.5) / height))
        axes.set_title(panel["title"], fontsize=8, loc="left", color=_INK)
        draw_panel(http, axes, panel, minutes)
    figure.savefig(file, dpi=80)
    plt.close(figure)


def draw_panel(http: httpx.Client, axes: Axes, panel: dict[str, Any], minutes: float) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    lines = [line for target in panel["targets"] for line in _series(http, target, minutes)]
    axes.tick_params(labelsize=6, colors=_INK, length=0)
    for side in axes.spines.values():
        side.set_color(_LIGHT)
    if not lines:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "nothing happened", transform=axes.transAxes, ha="center", fontsize=7, color="#888888")
        return
    if panel["type"] in {"stat", "bargauge"}:
        axes.axis("off")
        text = "  ".join(f"{name} {said(values[-1], unit)}" for name, _, values in lines)
        colour = colour_of(panel, max(values[-1] for _, _, values in lines))
        axes.text(0.5, 0.45, text, transform=axes.transAxes, ha="center", va="center", fontsize=14, color=colour)
        return
    if panel["type"] == "heatmap":
        lines = in_each(lines)
    for name, times, values in lines[:12]:
        axes.plot(times, values, linewidth=0.9, label=name[:28])
    axes.set_xlim(-minutes, 0)
    axes.set_ylim(bottom=0, top=None if any(max(values) > 0 for _, _, values in lines) else 1)
    shown = "short" if panel["type"] == "heatmap" else unit
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: said(value, shown)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} min"))
    axes.grid(color=_LIGHT, linewidth=0.4)
    for threshold, colour in _thresholds(panel):
        if threshold <= axes.get_ylim()[1]:
            axes.axhline(threshold, color=colour, linewidth=0.7, linestyle="--")
    axes.legend(fontsize=5, frameon=False, loc="upper left", ncols=2, labelcolor=_INK)


def _thresholds(panel: dict[str, Any]) -> list[tuple[float, str]]:
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]
    return [(float(step["value"]), colour) for step, colour in zip(steps, _THRESHOLDS, strict=False)]


def colour_of(panel: dict[str, Any], value: float) -> str:
    reached = [colour for threshold, colour in _thresholds(panel) if value >= threshold]
    return reached[-1] if reached else _GOOD


def _series(http: httpx.Client, target: dict[str, Any], minutes: float) -> Iterator[Line]:
    now = time.time()
    expression = re.sub(r"\$[a-z]+", ".*", target["expr"].replace("$__rate_interval", _INTERVAL))
    span = {"start": now - 60 * minutes, "end": now, "step": _STEP_S}
    body = http.get("/api/v1/query_range", params={"query": expression, **span}).raise_for_status().json()
    for found in body["data"]["result"]:
        points = [((float(at) - now) / 60, float(value)) for at, value in found["values"] if value != "NaN"]
        if points:
            yield _name(target["legendFormat"], found["metric"]), [at for at, _ in points], [v for _, v in points]


def _name(legend: str, labels: dict[str, str]) -> str:
    if legend == "__auto":
        return ", ".join(value for key, value in labels.items() if key != "__name__")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def in_each(lines: list[Line]) -> list[Line]:
    """Of cumulative buckets, how many are in each that has any, as lines."""
    found: list[Line] = []
    before: list[float] = []
    for name, times, values in sorted(lines, key=lambda line: float(line[0].replace("+Inf", "inf"))):
        own = [v - b for v, b in zip(values, before, strict=False)] if before else values
        before = values
        if max(own) > 0:
            found.append((f"to {name} s", times, own))
    return found


def said(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    return f"{value:.3g}" + ("/s" if unit in {"ops", "pps"} else "")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 30)
