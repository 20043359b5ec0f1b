"""The report of a load test: one HTML file with its plots inside, and each plot as an SVG beside it."""

from __future__ import annotations

import html
import itertools
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt

from loadtest.load.results import as_bins
from loadtest.load.schedule import Bins, add_bins, quantile
from loadtest.load.watching import cores
from loadtest.plots import style
from loadtest.plots.tables import DOCS, insert

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

Document = dict[str, Any]
_PHASES = ("place", "ICE", "DTLS", "set-up", "first audio")
_TALK = ("turn latency", "barge-in", "roam")
_COLOURS = ("#3b7dd8", "#1f8a5b", "#d9822b", "#8a8f98", "#b8a13c")
_SERVERS = ("edge", "worker", "signaling", "server")
_SETTLE_S = 3.0
_WHOLE = 1_000
"""Callers of the run that the docs should have."""
_TOLD = (0.5, 0.9, 0.99, 1.0)
_IN_DOCS = ("set-up", "mouth-to-ear", "delay", "cpu")
_MS = 1_000


def times_of(document: Document, name: str) -> Bins:
    """How long something took, from locust's statistics."""
    entry = document["entries"].get(name, {"times_ms": {}})
    return {int(float(ms) * _MS): count for ms, count in entry["times_ms"].items()}


def delays_of(document: Document) -> Bins:
    """From sending a frame of voice to hearing it, of all callers whose network is sound."""
    groups = document["totals"]["groups"]
    return add_bins(*(as_bins(group["delay_us"]) for name, group in groups.items() if name != "flaky"))


def steady(document: Document) -> tuple[float, float]:
    """From when to when the most callers were there."""
    most = max((row["users"] for row in document["timeline"]), default=0)
    full = [row["at"] for row in document["timeline"] if row["users"] >= most * 0.99]
    if len(full) < 2:
        return (0.0, 0.0)
    return (min(full[0] + _SETTLE_S, full[-1]), full[-1])


def cost(document: Document) -> dict[str, float]:
    """Cores that each process kept busy while the most callers were there."""
    begin, end = steady(document)
    found = {name: cores(document["cpu"], name, begin, end) for name in (*_SERVERS, "generator")}
    return {name: busy for name, busy in found.items() if busy is not None}


def _distribution(axes: Axes, named: dict[str, Bins]) -> None:
    for colour, (name, bins) in zip(_COLOURS, ((n, b) for n, b in named.items() if b), strict=False):
        total, seen, points = sum(bins.values()), 0, []
        for bound in sorted(bins):
            points.append((bound / _MS, seen / total))
            seen += bins[bound]
            points.append((bound / _MS, seen / total))
        axes.plot(*zip(*points, strict=True), color=colour, label=f"{name} ({total:,})")
    axes.set(xlabel="ms", ylabel="share", ylim=(0, 1.02), xscale="log")
    if axes.lines:
        axes.legend()


def _set_up(axes: Axes, document: Document) -> None:
    axes.set_title("Set-up, step by step")
    _distribution(axes, {name: times_of(document, name) for name in _PHASES})


def _turns(axes: Axes, document: Document) -> None:
    axes.set_title("Turn latency, barge-in, roaming")
    _distribution(axes, {name: times_of(document, name) for name in _TALK})


def _mouth_to_ear(axes: Axes, document: Document) -> None:
    axes.set_title("Mouth to ear: a frame of voice, sent until heard")
    groups = document["totals"]["groups"]
    _distribution(axes, {name: as_bins(group["delay_us"]) for name, group in groups.items()})


def _seconds(document: Document, rows: list[dict[str, Any]]) -> list[float]:
    return [row["at"] - document["began"] for row in rows]


def _delay(axes: Axes, document: Document) -> None:
    rows = [row for row in document["timeline"] if row["delay_p50_ms"] is not None]
    axes.set_title("Delay, second by second")
    axes.plot(_seconds(document, rows), [row["delay_p50_ms"] for row in rows], color=_COLOURS[0], label="p50")
    axes.plot(_seconds(document, rows), [row["delay_p99_ms"] for row in rows], color=_COLOURS[2], label="p99")
    axes.set(xlabel="s", ylabel="ms", ylim=(0, None))
    axes.legend()


def _loss(axes: Axes, document: Document) -> None:
    rows = document["timeline"]
    down = [100 * (1 - row["received"] / row["expected"]) if row["expected"] > 0 else 0.0 for row in rows]
    both = [100 * row["unechoed"] / row["voice"] if row["voice"] > 0 else 0.0 for row in rows]
    axes.set_title("Loss, second by second")
    axes.plot(_seconds(document, rows), down, color=_COLOURS[0], label="packets to callers")
    axes.plot(_seconds(document, rows), both, color=_COLOURS[2], label="frames of voice, there and back")
    axes.set(xlabel="s", ylabel="%", ylim=(0, max(1.0, *down, *both) if rows else 1))
    axes.legend()


def _cpu(axes: Axes, document: Document) -> None:
    axes.set_title("CPU")
    for colour, name in zip(
        _COLOURS, (name for name in (*_SERVERS, "generator") if _rows(document, name)), strict=False
    ):
        rows = _rows(document, name)
        pairs = list(itertools.pairwise(rows))
        busy = [100 * (b[name] - a[name]) / (b["at"] - a["at"]) for a, b in pairs]
        axes.plot([b["at"] - document["began"] for _, b in pairs], busy, color=colour, label=name)
    calls = axes.twinx()
    calls.plot(_seconds(document, document["timeline"]), [row["users"] for row in document["timeline"]],
               color=_COLOURS[3], linestyle=":")  # fmt: skip
    calls.set(ylabel="calls (dotted)", ylim=(0, None))
    calls.grid(visible=False)
    axes.set(xlabel="s", ylabel="% of a core", ylim=(0, None))
    axes.legend()


def _rows(document: Document, name: str) -> list[dict[str, Any]]:
    return [row for row in document["cpu"] if name in row]


PLOTS: dict[str, Callable[[Axes, Document], None]] = {
    "set-up": _set_up,
    "mouth-to-ear": _mouth_to_ear,
    "delay": _delay,
    "loss": _loss,
    "turns": _turns,
    "cpu": _cpu,
}


def _ms(bins: Bins, share: float) -> str:
    found = quantile(bins, share)
    return "" if found is None else f"{found:.1f}" if found < 100 else f"{found:.0f}"


def summary(document: Document) -> list[tuple[str, str]]:
    """What is told first: a name and a figure each."""
    totals = document["totals"]["groups"]
    expected, received = (sum(group[count] for group in totals.values()) for count in ("expected", "received"))
    voice, unechoed = (sum(group[count] for group in totals.values()) for count in ("voice", "unechoed"))
    most = max((row["users"] for row in document["timeline"]), default=0)
    rows = [
        ("callers at most", f"{most}: {document['mix']}, shape {document['shape']}, agent {document['agent']}"),
        ("packets sent, received", f"{sum(group['sent'] for group in totals.values()):,}, {received:,}"),
        ("of those to callers lost", f"{max(0, expected - received):,} ({_share(expected - received, expected)})"),
        ("frames of voice not back in 5 s", f"{unechoed:,} ({_share(unechoed, voice)})"),
        (
            "failures",
            "; ".join(f"{one['name']}: {one['error']} ({one['count']})" for one in document["failures"]) or "none",
        ),
        ("own schedule: packets late, ms p99", _ms(as_bins(document["totals"]["lateness_us"]), 0.99)),
    ]
    busy = cost(document)
    begin, end = steady(document)
    rows.append(("with the most callers for", f"{end - begin:.0f} s"))
    for name, amount in busy.items():
        rows.append(
            (f"CPU of the {name}", f"{100 * amount:.1f} % of a core; a call {1_000 * amount / max(1, most):.2f} ms/s")
        )
    servers = sum(amount for name, amount in busy.items() if name in {"edge", "server"})
    if servers and "generator" in busy:
        rows.append(("generator's CPU against the edge's", f"{busy['generator'] / servers:.2f} times"))
    return rows


def _share(part: float, whole: float) -> str:
    return f"{100 * max(0.0, part) / whole:.2f} %" if whole else "-"


def write_report(document: Document, directory: Path) -> Path:
    """Returns the HTML file; plots are written beside it as load-*.svg."""
    style.use()
    figures = []
    for name, draw in PLOTS.items():
        if name == "turns" and not any(times_of(document, talk) for talk in _TALK):
            continue
        figure, axes = plt.subplots(figsize=(5.6, 3.2))
        draw(axes, document)
        path = directory / f"load-{name}.svg"
        style.save(figure, path)
        drawn = path.read_text(encoding="utf-8")
        figures.append(f"<figure>{drawn[drawn.index('<svg') :]}</figure>")
    report = directory / "load.html"
    report.write_text(_page(document, figures), encoding="utf-8")
    return report


def _page(document: Document, figures: list[str]) -> str:
    machine = document["machine"]
    table = "".join(
        f"<tr><th>{name}</th><td>{sum(bins.values()):,}</td>"
        + "".join(f"<td>{_ms(bins, share)}</td>" for share in _TOLD)
        + "</tr>"
        for name, bins in measured(document).items()
    )
    facts = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(found)}</td></tr>" for name, found in summary(document)
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Load on {html.escape(document["target"])}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; color: #1c2128 }}
figure {{ display: inline-block; margin: 0.5em; max-width: 34em }} figure svg {{ max-width: 100%; height: auto }}
table {{ border-collapse: collapse; margin: 1em 0 }} th, td {{ text-align: left; padding: 0.2em 1em 0.2em 0;
font-weight: normal; vertical-align: top; border-bottom: 1px solid #e3e5e8 }}
td {{ font-variant-numeric: tabular-nums }}
</style>
<h1>Load on {html.escape(document["target"])}</h1>
<p>{html.escape(machine["cpu"])}, {machine["cores"]} cores, {html.escape(machine["kernel"])}, {machine["at"]}</p>
<table>{facts}</table>
<table><tr><th>ms</th><th>count</th><th>p50</th><th>p90</th><th>p99</th><th>most</th></tr>{table}</table>
{"".join(figures)}
</html>
"""


def write_docs(document: Document, directory: Path) -> None:
    """Puts the figures and plots of a report into docs/load-testing.md."""
    machine = document["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, {machine['at'][:10]}"
    most = max((row["users"] for row in document["timeline"]), default=0)
    small = "A small run, on a machine with other work: " if most < _WHOLE else ""
    rows = [f"{small}`make load` for {document['seconds']:.0f} s on {where}:", "", "| | |", "|---|---|"]
    rows += [f"| {name} | {found} |" for name, found in summary(document)]
    rows += ["", "| ms | count | p50 | p90 | p99 | most |", "|---|---|---|---|---|---|"]
    for name, bins in measured(document).items():
        cells = [f"{sum(bins.values()):,}", *(_ms(bins, share) for share in _TOLD)]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    for name in _IN_DOCS:
        shutil.copyfile(directory / f"load-{name}.svg", DOCS / f"load-{name}.svg")
        rows += ["", f"![{name}](load-{name}.svg)"]
    insert(DOCS / "load-testing.md", "load", "\n".join(rows), by="make load")


def measured(document: Document) -> dict[str, Bins]:
    """All times that were measured, by name."""
    named = {name: times_of(document, name) for name in (*_PHASES, *_TALK)} | {"mouth to ear": delays_of(document)}
    return {name: bins for name, bins in named.items() if bins}


def main() -> None:
    """Draws a report anew: `python -m loadtest.load.report bench-results/load.json`."""
    source = Path(sys.argv[1])
    print(write_report(json.loads(source.read_text(encoding="utf-8")), source.parent))


if __name__ == "__main__":
    main()
