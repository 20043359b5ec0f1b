"""What a calibration concludes from its steps, and what it writes."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from antiphon.callers import NoCallersError, native
from antiphon.cli import calibrate
from antiphon.cli.calibration import Found, Step, conclude, helm_values, late, left, next_calls, settings
from antiphon.config import load_config

if TYPE_CHECKING:
    from pathlib import Path

GOOD = Step(calls=100, cores=0.25, own_late_p99_ms=0.5, delay_p99_ms=4.0, turn_p90_ms=700.0)


def test_steps_grow_to_the_most_and_end_there() -> None:
    assert next_calls(100, 1_000) == 140
    assert next_calls(900, 1_000) == 1_000
    assert next_calls(1_000, 1_000) is None


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step(200, 0.5, 0.5, delay_p99_ms=35.0), "35.0 ms"),
        (Step(200, 0.5, 0.5, lost=0.02), "2.00 %"),
        (Step(200, 0.5, 0.5, turn_p90_ms=1_200.0), "500 ms later than with 100 calls"),
        (Step(200, 0.5, 0.5, overloaded=True), "overloaded"),
        (Step(200, 0.5, 0.5, failed=3), "3 calls failed"),
    ],
)
def test_a_bound_that_is_left_ends_the_steps(step: Step, words: str) -> None:
    assert words in (left(step, GOOD) or "")
    found = conclude([GOOD, step])
    assert (found.calls, found.calls_a_core, found.capacity, found.reached) == (100, 400, 66, True)


def test_a_load_that_was_late_itself_blames_nobody() -> None:
    step = Step(200, 0.5, own_late_p99_ms=9.0, delay_p99_ms=50.0)
    assert "own packets" in (late(step) or "")
    found = conclude([GOOD, step])
    assert (found.calls, found.reached) == (100, False)


def test_who_leaves_no_bound_carries_that_many_or_more() -> None:
    found = conclude([GOOD])
    assert (found.calls, found.reached) == (100, False)
    assert conclude([Step(10, 0.1, 0.1, failed=1)]).calls == 0


def test_what_is_written_is_read_by_config_and_chart(tmp_path: Path) -> None:
    edge, worker = Found(500, 900, 400, "", reached=True), Found(200, 300, 160, "", reached=True)
    file = tmp_path / "capacity.yaml"
    file.write_text(settings(edge, worker), encoding="utf-8")
    config = load_config(file)
    assert (config.edge.capacity, config.worker.capacity) == (400, 160)
    assert yaml.safe_load(helm_values(edge, None)) == {"edge": {"capacity": 400}}
    worker_values = yaml.safe_load(helm_values(None, worker))["worker"]
    assert worker_values == {"capacity": 160, "autoscaling": {"sessions": 128}}


def test_without_the_native_module_one_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "antiphon.callers._callers", None)
    with pytest.raises(NoCallersError, match="make callers"):
        native.start_callers(bind="127.0.0.1", threads=1)
    wish = calibrate.Wish(("edge",), 1, 1, 1.0, 1.0, tmp_path / "a", tmp_path / "b", as_json=False)
    with pytest.raises(SystemExit) as ended:
        asyncio.run(calibrate.calibrate(wish))
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
