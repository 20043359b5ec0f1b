"""The verdicts and tables of `make bench`, from figures as the load reports them."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from loadtest.measuring.judgement import COMPARED, IDLE, MANY, Results, markdown, verdicts
from loadtest.measuring.servers import echo_program
from loadtest.measuring.tools import LATE, TRIES, BenchError, Caller, Load

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.measuring.tools import Figures


def report(**servers: Figures) -> Figures:
    times = {"p50": 2.0, "p90": 3.0, "p99": 4.0, "max": 5.0}
    return {
        "up": COMPARED,
        "failed": 0,
        "sent": 15_000,
        "lost": 0,
        "corrupt": 0,
        "delay_ms": times,
        "answer_ms": times,
        "setup_ms": times,
        "lateness_p99_ms": 0.1,
        "other_cores": 0.0,
        "servers": servers,
    }


def server(cost: float, cores: float = 0.3, setup: float | None = None) -> Figures:
    return {"cpu_us_per_pair": cost, "cores": cores, "cpu_ms_per_setup": setup}


def good() -> Results:
    return Results(
        machine={"cpu": "a processor", "cores": 2, "kernel": "Linux 6"},
        engine=[{"sessions": 1, "engine_ns": 300.0, "cipher_ns": 150.0, "ratio": 2.0, "forwarded_ns": 200.0}],
        floor={
            COMPARED: {"sessions": COMPARED, "cpu_us_per_pair": 16.0},
            MANY: {"sessions": MANY, "cpu_us_per_pair": 9.0},
            0: {"sessions": 0, "cpu_us_per_pair": 3.0},
        },
        saturated={"sessions": COMPARED, "engine_us": 4.0, "floor_us": 3.0, "ratio": 1.33},
        flood={"calm": report(), "flooded": report(), "lives": {}, "rate": 100.0},
        flood_apart={
            "calm": report(),
            "flooded": report(),
            "lives": {},
            "rate": 90.0,
            "counted": {"datagrams_in": 200_000.0, "waited_5ms": 100.0},
        },
        reach=[{"sessions": 800, "passes": True, "edge_cores": 0.5, "worker_cores": 0.8}],
        pion={COMPARED: report(server=server(50.0))},
        antiphon={
            COMPARED: report(edge=server(12.0), worker=server(20.0)),
            MANY: report(edge=server(8.0), worker=server(20.0)),
            IDLE: report(edge=server(60.0), worker=server(150.0)),
        },
        edge={MANY: report(edge=server(7.0), mirror=server(4.0))},
        setup={"antiphon": report(edge=server(0.0, setup=1.5))},
        weight={"antiphon": {"edge": 20.0}},
    )


def test_all_targets_are_met_by_good_figures() -> None:
    assert [verdict.word for verdict in verdicts(good())] == ["PASS"] * 14


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    empty = Results(machine={"cpu": "a processor", "cores": 2, "kernel": "Linux 6"})
    assert {verdict.word for verdict in verdicts(empty)} == {"-"}
    assert "not measured" in markdown(empty)


def test_a_target_that_is_missed_is_named_with_its_figure() -> None:
    results = good()
    results.antiphon[COMPARED]["lost"] = 3
    results.weight["antiphon"]["edge"] = 120.0
    missed = [verdict.found for verdict in verdicts(results) if verdict.met is False]
    assert missed == ["3 of 15000 lost, 0 calls failed", "120 KiB"]


def test_the_table_gives_ratios_to_the_floor_and_to_pion() -> None:
    rows = markdown(good()).splitlines()
    edge = next(row for row in rows if row.startswith(f"| Antiphon edge | {COMPARED}"))
    assert "| 12.0 | 0.75 | 0.24 |" in edge
    assert any(row.startswith("| antiphon edge | 1.50 |") and row.endswith("| 20 |") for row in rows)


def test_figures_of_the_edge_alone_are_judged_where_there_are_some() -> None:
    results = good()
    results.antiphon[MANY]["servers"]["edge"] = server(20.0)
    judged = next(verdict for verdict in verdicts(results) if f"at {MANY} sessions" in verdict.target)
    assert (judged.word, judged.found) == ("PASS", "7.0 us, 0.78 of 9.0")
    results.edge = {}
    judged = next(verdict for verdict in verdicts(results) if f"at {MANY} sessions" in verdict.target)
    assert judged.word == "MISS"


def test_a_flood_is_told_with_what_waited_for_the_edge() -> None:
    told = [verdict for verdict in verdicts(good()) if verdict.target.startswith("set-ups at full speed")]
    assert [verdict.found for verdict in told] == [
        "+0.00 ms (4.00 to 4.00) at 90 a second; 0.05% of datagrams waited 5 ms or longer for the edge",
        "+0.00 ms (4.00 to 4.00) at 100 a second",
    ]


def program(directory: Path, text: str) -> Path:
    path = directory / "program"
    path.write_text(f"#!{sys.executable}\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_load_that_is_late_is_tried_again_and_told(tmp_path: Path) -> None:
    late = program(tmp_path, f"import sys; sys.exit({LATE})")
    caller = Caller(late, patience=0.0)
    with pytest.raises(BenchError):
        caller.load("http://127.0.0.1:1/", Load(calls=1, window=1.0), {})
    assert len(caller.notes) == TRIES


def test_a_server_that_ends_at_once_is_reported_with_its_words(tmp_path: Path) -> None:
    broken = program(tmp_path, "print('no such option')")
    with pytest.raises(BenchError, match="no such option"), echo_program([str(broken)]):
        pass


def test_a_server_is_ended_when_it_is_left(tmp_path: Path) -> None:
    text = "import time; print('http://127.0.0.1:9/', flush=True); time.sleep(60)"
    with echo_program([str(program(tmp_path, text))]) as running:
        pid = running.processes["server"]
        assert running.url == "http://127.0.0.1:9/"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
