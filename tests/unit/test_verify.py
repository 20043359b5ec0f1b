"""`make verify` tells the truth: what ran, what failed and how, and what did not run and why."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from tools.verify import record
from tools.verify.__main__ import run
from tools.verify.record import Outcome
from tools.verify.steps import ROOT, STEPS, Step, program

from tests.support.cluster import alive
from tests.support.wait import until

if TYPE_CHECKING:
    from pathlib import Path


def python(code: str) -> Step:
    return Step("step", "something", (sys.executable, "-c", code), 1)


def test_a_step_that_passes_tells_its_last_line(tmp_path: Path) -> None:
    outcome = run(python("print('much'); print('3 of 3'); print()"), tmp_path)
    assert (outcome.result, outcome.why) == ("passed", "3 of 3")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", outcome.at)
    assert outcome.commit
    assert outcome.machine


def test_a_step_that_fails_tells_how(tmp_path: Path) -> None:
    outcome = run(python("import sys; print('1 lost'); sys.exit(3)"), tmp_path)
    assert (outcome.result, outcome.why) == ("failed", "exit code 3: 1 lost")
    assert (tmp_path / "step.log").read_text() == "1 lost\n"


def test_a_step_whose_tool_is_missing_is_not_run_and_says_what_it_wants(tmp_path: Path) -> None:
    step = Step("step", "something", ("false",), 1, (program("no-such-program", "from nowhere"),))
    outcome = run(step, tmp_path)
    assert (outcome.result, outcome.why) == ("not run", "no-such-program is not installed (from nowhere)")
    assert not list(tmp_path.iterdir())


async def test_nothing_of_a_step_is_left_behind(tmp_path: Path) -> None:
    left = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"
    outcome = run(python(left), tmp_path)
    assert outcome.result == "passed"
    await until(lambda: not alive(int(outcome.why)), what="the end of what a step left running")


def test_a_step_that_hangs_has_failed(tmp_path: Path) -> None:
    outcome = run(python("import time; time.sleep(600)"), tmp_path, limit_s=0.5)
    assert outcome.result == "failed"
    assert outcome.why.startswith("not done after")


def test_results_of_other_steps_are_kept_and_shown(tmp_path: Path) -> None:
    first, second = (Step(name, f"shows {name}", ("true",), 1) for name in ("first", "second"))
    record.write(
        {"first": Outcome("failed", "a | b", 90.0, "2026-01-02 03:04", "abc", "a machine")}, (first, second), tmp_path
    )
    outcomes = record.read(tmp_path / "verify.json")
    record.write(outcomes | {"second": Outcome("passed")}, (first, second), tmp_path)
    page = (tmp_path / "verify.md").read_text()
    assert r"| `first` | shows first | **failed**: a \| b | 1.5 min | 2026-01-02 03:04, abc |" in page
    assert "| `second` | shows second | passed | 0.0 min | - |" in page
    assert "a machine" in page


def test_the_page_is_what_the_record_says() -> None:
    assert record.PAGE.read_text() == record.document(record.read(), STEPS), "run make verify"


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_runs_something_that_is_there(step: Step) -> None:
    program, *arguments = step.command
    if program == "make":
        assert re.search(rf"^{arguments[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for file in (one for one in step.command if one.startswith(("tests/", "tools/"))):
        assert (ROOT / file).exists()
