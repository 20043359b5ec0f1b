"""Turns figures into a table with ratios, and into a verdict on each target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtest.measuring.tools import Figures

COMPARED = 300
"""Sessions at which servers are compared."""
IDLE = 20
"""Sessions on a machine that counts as idle."""


@dataclass
class Results:
    """All that a run found. What could not be measured is missing, and told in `notes`."""

    machine: Figures = field(default_factory=dict)
    engine: list[Figures] = field(default_factory=list)
    floor: dict[int, Figures] = field(default_factory=dict)
    """By sessions; 0 is saturated."""
    pion: dict[int, Figures] = field(default_factory=dict)
    str0m: dict[int, Figures] = field(default_factory=dict)
    antiphon: dict[int, Figures] = field(default_factory=dict)
    setup: dict[str, Figures] = field(default_factory=dict)
    """Runs of silent calls, by server."""
    weight: dict[str, dict[str, float]] = field(default_factory=dict)
    """KiB that a session adds, by server and process."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """A target, and what was found; `met` is none where it could not be measured."""

    target: str
    found: str
    met: bool | None

    @property
    def word(self) -> str:
        return "-" if self.met is None else "PASS" if self.met else "MISS"


def _server(report: Figures | None, name: str, figure: str) -> float | None:
    server = (report or {}).get("servers", {}).get(name)
    return None if server is None else server.get(figure)


def verdicts(results: Results) -> list[Verdict]:
    """One for each target."""
    at = results.antiphon.get(COMPARED)
    idle = results.antiphon.get(IDLE)
    edge = _server(at, "edge", "cpu_us_per_pair")
    pion = _server(results.pion.get(COMPARED), "server", "cpu_us_per_pair")
    share = edge / pion if edge is not None and pion else None
    ratio = results.engine[0]["ratio"] if results.engine else None
    delay = idle["delay_ms"] if idle else None
    memory = results.weight.get("antiphon", {}).get("edge")
    setup = _server(results.setup.get("antiphon"), "edge", "cpu_ms_per_setup")
    cores = _server(at, "worker", "cores")
    carried = at["up"] / cores if at and cores else None
    return [
        Verdict(
            f"edge CPU a pair at {COMPARED} sessions ≤ half of Pion's",
            "not measured" if share is None else f"{edge:.1f} us, {share:.2f} of Pion's {pion:.1f}",
            None if share is None else share <= 0.5,
        ),
        Verdict(
            "engine alone ≤ 3 times open + seal of AES-128-GCM",
            "not measured" if ratio is None else f"{ratio:.2f} times",
            None if ratio is None else ratio <= 3.0,
        ),
        Verdict(
            "echo through the worker: p50 ≤ 5 ms, p99 ≤ 20 ms on an idle machine",
            "not measured" if delay is None else f"{delay['p50']:.2f} and {delay['p99']:.2f} ms at {IDLE} sessions",
            None if delay is None else delay["p50"] <= 5.0 and delay["p99"] <= 20.0,
        ),
        Verdict(
            f"nothing lost at {COMPARED} sessions",
            "not measured" if at is None else f"{at['lost']} of {at['sent']} lost, {at['failed']} calls failed",
            None if at is None else at["lost"] == 0 and at["failed"] == 0 and at["corrupt"] == 0,
        ),
        Verdict(
            "edge memory a session ≤ 100 KiB",
            "not measured" if memory is None else f"{memory:.0f} KiB",
            None if memory is None else memory <= 100.0,
        ),
        Verdict(
            "edge CPU of a set-up ≤ 2.5 ms",
            "not measured" if setup is None else f"{setup:.2f} ms",
            None if setup is None else setup <= 2.5,
        ),
        Verdict(
            "echo sessions that one worker process carries on a core ≥ 200",
            "not measured" if carried is None else f"{carried:.0f}, from {cores:.2f} of a core at {COMPARED}",
            None if carried is None else carried >= 200,
        ),
    ]


def markdown(results: Results) -> str:
    """The tables of a run."""
    parts = [f"{results.machine['cpu']}, {results.machine['cores']} cores, {results.machine['kernel']}", ""]
    if results.engine:
        parts += _engine_table(results.engine)
    parts += _load_table(results)
    if results.setup:
        parts += _setup_table(results)
    parts += ["| target | found | |", "|---|---|---|"]
    parts += [f"| {verdict.target} | {verdict.found} | {verdict.word} |" for verdict in verdicts(results)]
    parts += ["", *results.notes]
    return "\n".join(parts).rstrip() + "\n"


def _engine_table(engine: list[Figures]) -> list[str]:
    rows = [
        f"| {row['sessions']} | {row['engine_ns']:.0f} | {row['cipher_ns']:.0f} | {row['ratio']:.2f} |"
        for row in engine
    ]
    head = "| engine alone, sessions | ns a pair | open + seal of AES-128-GCM, ns | ratio |"
    return [head, "|---|---|---|---|", *rows, ""]


def _load_table(results: Results) -> list[str]:
    rows = []
    for sessions, floor in results.floor.items():
        name = "floor (bare echo)" if sessions else "floor, saturated"
        rows.append(_row(name, sessions, floor["cpu_us_per_pair"], None, results))
    for name, runs in (("Pion", results.pion), ("str0m", results.str0m)):
        for sessions, report in runs.items():
            rows.append(_row(f"{name} echo", sessions, _server(report, "server", "cpu_us_per_pair"), report, results))
    for sessions, report in results.antiphon.items():
        rows.append(_row("Antiphon edge", sessions, _server(report, "edge", "cpu_us_per_pair"), report, results))
        rows.append(_row("Antiphon worker", sessions, _server(report, "worker", "cpu_us_per_pair"), None, results))
    names = ["server", "sessions", "CPU us a pair", "of floor", "of Pion", "echo ms p50 / p99", "lost"]
    names += ["load late, ms p99", "other work, cores"]
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|", *rows, ""]


def _row(name: str, sessions: int, cost: float | None, report: Figures | None, results: Results) -> str:
    def ratio(base: float | None) -> str:
        return f"{cost / base:.2f}" if base and cost is not None else ""

    floor = results.floor.get(sessions) or results.floor.get(COMPARED)
    pion = _server(results.pion.get(sessions), "server", "cpu_us_per_pair")
    cells = [name, str(sessions or ""), f"{cost:.1f}" if cost is not None else ""]
    cells += [ratio(floor["cpu_us_per_pair"] if floor and sessions else None), ratio(pion)]
    if report is None:
        cells += [""] * 4
    else:
        delay = report["delay_ms"]
        cells += [f"{delay['p50']:.2f} / {delay['p99']:.2f}", str(report["lost"])]
        cells += [f"{report['lateness_p99_ms']:.2f}", f"{report['other_cores']:.2f}"]
    return f"| {' | '.join(cells)} |"


def _setup_table(results: Results) -> list[str]:
    rows = []
    for server, report in results.setup.items():
        answer, connected = report["answer_ms"], report["setup_ms"]
        times = f"{answer['p50']:.1f} / {answer['p99']:.1f} | {connected['p50']:.1f} / {connected['p99']:.1f}"
        for name, costs in report["servers"].items():
            weight = results.weight.get(server, {}).get(name)
            cells = f"{costs['cpu_ms_per_setup']:.2f} | {times} | {'' if weight is None else f'{weight:.0f}'}"
            rows.append(f"| {server} {'' if name == 'server' else name} | {cells} |".replace("  ", " "))
    head = "| set-up | CPU ms | answer ms p50 / p99 | connected ms p50 / p99 | KiB a session (PSS) |"
    return [head, "|---|---|---|---|---|", *rows, ""]
