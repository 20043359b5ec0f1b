"""Turns figures into a table with ratios, and into a verdict on each target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.measuring.tools import Figures

COMPARED = 300
"""Sessions at which servers are compared."""
MANY = 1_000
"""Sessions of a machine that is full."""
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
    edge: dict[int, Figures] = field(default_factory=dict)
    """With a light worker at the other end of the link, by sessions."""
    saturated: Figures | None = None
    """The engine with its sockets, against the saturated floor of the same run."""
    flood: Figures | None = None
    """Calls while others are set up at full speed: `calm` and `flooded` reports of them, and `lives` of the others."""
    flood_apart: Figures | None = None
    """The same, while those who set up, and signaling, have what cores the others leave."""
    reach: list[Figures] = field(default_factory=list)
    """So many calls on one edge and one worker, and whether nothing is lost or late."""
    link: list[Figures] = field(default_factory=list)
    """Delay that long paths between edge and worker add, by round trip, loss and stripes."""
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
    return [
        *_packet_path(results),
        *_delays(results, at),
        _limit(
            "edge memory a session ≤ 40 KiB",
            results.weight.get("antiphon", {}).get("edge"),
            lambda memory: (f"{memory:.0f} KiB", memory <= 40.0),
        ),
        _limit(
            "edge CPU of a set-up ≤ 2.5 ms",
            _server(results.setup.get("antiphon"), "edge", "cpu_ms_per_setup"),
            lambda setup: (f"{setup:.2f} ms", setup <= 2.5),
        ),
        _limit(
            "echo sessions that one worker process carries on a core ≥ 200",
            _server(at, "worker", "cores") or None,
            lambda cores: (
                f"{COMPARED / cores:.0f}, from {cores:.2f} of a core at {COMPARED}",
                COMPARED / cores >= 200,
            ),
        ),
    ]


def _limit(target: str, figure: float | None, judge: Callable[[float], tuple[str, bool]]) -> Verdict:
    if figure is None:
        return Verdict(target, "not measured", None)
    return Verdict(target, *judge(figure))


def _packet_path(results: Results) -> list[Verdict]:
    pion = _server(results.pion.get(COMPARED), "server", "cpu_us_per_pair")
    edge = _server(results.antiphon.get(COMPARED), "edge", "cpu_us_per_pair")
    worst = max(results.engine, key=lambda row: float(row["ratio"]), default=None)
    saturated = results.saturated
    return [
        _against_floor(results, COMPARED, results.antiphon, "link included"),
        _against_floor(
            results,
            MANY,
            results.edge or results.antiphon,
            f"link included{', with a light worker' * bool(results.edge)}",
        ),
        _limit(
            f"edge CPU a pair at {COMPARED} sessions ≤ half of Pion's",
            edge if pion else None,
            lambda edge: (f"{edge:.1f} us, {edge / (pion or 1):.2f} of Pion's {pion:.1f}", edge <= 0.5 * (pion or 0)),
        ),
        _limit(
            f"engine alone ≤ 2 times open + seal of AES-128-GCM, with {COMPARED} sessions that take turns too",
            worst["ratio"] if worst else None,
            lambda ratio: (f"{ratio:.2f} times at {worst['sessions'] if worst else 0} sessions", ratio <= 2.0),
        ),
        _limit(
            "engine with its sockets, saturated ≤ 1.5 times the saturated floor",
            saturated["ratio"] if saturated else None,
            lambda ratio: (
                f"{ratio:.2f} times: {saturated['engine_us']:.2f} and {saturated['floor_us']:.2f} us"
                if saturated
                else "",
                ratio <= 1.5,
            ),
        ),
    ]


def _against_floor(results: Results, sessions: int, found: dict[int, Figures], how: str) -> Verdict:
    floor = results.floor.get(sessions)
    cost = floor["cpu_us_per_pair"] if floor else 0.0
    return _limit(
        f"edge CPU a pair at {sessions} sessions, {how} ≤ a bare echo that wakes for each packet",
        _server(found.get(sessions), "edge", "cpu_us_per_pair") if floor else None,
        lambda edge: (f"{edge:.1f} us, {edge / cost:.2f} of {cost:.1f}", edge <= cost),
    )


def _delays(results: Results, at: Figures | None) -> list[Verdict]:
    idle = results.antiphon.get(IDLE)
    delay = idle["delay_ms"] if idle else {}
    passed = [row for row in results.reach if row["passes"]]
    most = max(passed, key=lambda row: int(row["sessions"]), default=None)
    return [
        _limit(
            "echo through the worker: p50 ≤ 5 ms, p99 ≤ 20 ms on an idle machine",
            delay.get("p50"),
            lambda p50: (
                f"{p50:.2f} and {delay['p99']:.2f} ms at {IDLE} sessions",
                p50 <= 5.0 and delay["p99"] <= 20.0,
            ),
        ),
        _limit(
            f"load adds ≤ 1 ms: echo p50 at {COMPARED} sessions against {IDLE}",
            at["delay_ms"]["p50"] - delay["p50"] if at and delay else None,
            lambda added: (f"{added:+.2f} ms", added <= 1.0),
        ),
        _limit(
            f"nothing lost at {COMPARED} sessions",
            at["lost"] if at else None,
            lambda lost: (
                f"{lost} of {at['sent']} lost, {at['failed']} calls failed" if at else "",
                bool(at and lost == at["failed"] == at["corrupt"] == 0),
            ),
        ),
        _flooded(results.flood_apart, "callers who set up, and signaling, on the cores that are left"),
        _flooded(results.flood, "all as equals on this machine's cores"),
        _limit(
            "most calls without loss and with p99 ≤ 20 ms, one edge and one worker on this machine",
            float(most["sessions"]) if most else None,
            lambda sessions: (
                f"{sessions:.0f}; edge {most['edge_cores']:.2f} and worker {most['worker_cores']:.2f} cores: "
                f"{sessions / most['edge_cores']:.0f} a core of an edge"
                if most
                else "",
                True,
            ),
        ),
    ]


def _flooded(flood: Figures | None, how: str) -> Verdict:
    """What a flood of set-ups does to live calls."""
    target = f"set-ups at full speed add ≤ 5 ms to the p99 of {COMPARED} live calls: {how}"
    if flood is None:
        return Verdict(target, "not measured", None)
    calm, flooded = flood["calm"]["delay_ms"]["p99"], flood["flooded"]["delay_ms"]["p99"]
    added = flooded - calm
    found = f"{added:+.2f} ms ({calm:.2f} to {flooded:.2f}) at {flood['rate']:.0f} a second"
    return Verdict(target, found + _in_the_edge(flood.get("counted", {})), added <= 5.0)


def _in_the_edge(counted: dict[str, float]) -> str:
    """How many datagrams may have waited in the edge's socket, by its own counters."""
    datagrams = counted.get("datagrams_in", 0.0)
    if not datagrams or "waited_5ms" not in counted:
        return ""
    return f"; {counted['waited_5ms'] / datagrams:.2%} of datagrams waited 5 ms or longer for the edge"


def markdown(results: Results) -> str:
    """The tables of a run."""
    parts = [f"{results.machine['cpu']}, {results.machine['cores']} cores, {results.machine['kernel']}", ""]
    if results.engine:
        parts += _engine_table(results.engine)
    parts += _load_table(results)
    if results.link:
        parts += _link_table(results.link)
    if results.setup:
        parts += _setup_table(results)
    parts += ["| target | found | |", "|---|---|---|"]
    parts += [f"| {verdict.target} | {verdict.found} | {verdict.word} |" for verdict in verdicts(results)]
    parts += ["", *results.notes]
    return "\n".join(parts).rstrip() + "\n"


def _engine_table(engine: list[Figures]) -> list[str]:
    rows = [
        f"| {row['sessions']} | {row['engine_ns']:.0f} | {row['cipher_ns']:.0f} | {row['ratio']:.2f} "
        f"| {row['forwarded_ns']:.0f} |"
        for row in engine
    ]
    head = "| engine alone, sessions | ns a pair | open + seal of AES-128-GCM, ns | ratio | ns a forwarded frame |"
    return [head, "|---|---|---|---|---|", *rows, ""]


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
    for sessions, report in results.edge.items():
        cost = _server(report, "edge", "cpu_us_per_pair")
        rows.append(_row("Antiphon edge, light worker", sessions, cost, report, results))
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


def _link_table(link: list[Figures]) -> list[str]:
    rows = [
        f"| {row['rtt_ms']:.0f} | {row['loss']:.1%} | {row['stripes']} | {row['delay_ms']['p50'] - row['rtt_ms']:.1f} "
        f"| {row['delay_ms']['p99'] - row['rtt_ms']:.1f} | {row['lost']} |"
        for row in link
    ]
    head = "| edge to worker, round trip ms | loss | connections | added delay ms p50 | p99 | lost |"
    return [head, "|---|---|---|---|---|---|", *rows, ""]


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
