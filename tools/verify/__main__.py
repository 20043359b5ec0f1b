"""`python -m tools.verify [step...]`: runs steps one after the other; exit code 1 where one failed."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from loadtest.measuring.machine import machine
from tools.verify import record
from tools.verify.record import Outcome
from tools.verify.steps import QUICK, ROOT, STEPS

if TYPE_CHECKING:
    from pathlib import Path

    from tools.verify.steps import Step

LOGS = ROOT / "build" / "verify"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="*", metavar="step", help="all by default")
    parser.add_argument("--quick", action="store_true", help=f"steps of {QUICK:.0f} minutes at most")
    parser.add_argument("--list", action="store_true", help="show the steps, and run none")
    asked = parser.parse_args()
    if unknown := set(asked.steps) - {step.name for step in STEPS}:
        parser.error(f"there is no step {', '.join(sorted(unknown))}: {', '.join(step.name for step in STEPS)}")
    chosen = [step for step in STEPS if not asked.steps or step.name in asked.steps]
    if asked.quick:
        chosen = [step for step in chosen if step.minutes <= QUICK]
    if asked.list:
        for step in chosen:
            print(f"{step.name:14} {step.minutes:3.0f} min  {step.missing() or step.shows}")
        return 0
    outcomes = record.read()
    for step in chosen:
        print(f"{step.name}: {step.shows}, some {step.minutes:.0f} min", file=sys.stderr, flush=True)
        outcomes[step.name] = outcome = run(step)
        print(f"{step.name}: {outcome.result}{outcome.why and f', {outcome.why}'}", file=sys.stderr, flush=True)
        record.write(outcomes, STEPS)
    return int(any(outcomes[step.name].result == "failed" for step in chosen))


def run(step: Step, logs: Path = LOGS, *, limit_s: float | None = None) -> Outcome:
    """Runs a step in a process group of its own, of which nothing is left behind; `limit_s` instead of its own."""
    limit_s = limit_s or step.limit_s
    told = partial(Outcome, at=time.strftime("%Y-%m-%d %H:%M", time.gmtime()), commit=_commit(), machine=_machine())
    if missing := step.missing():
        return told("not run", missing)
    logs.mkdir(parents=True, exist_ok=True)
    path = logs / f"{step.name}.log"
    began = time.monotonic()
    with path.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            step.command,
            cwd=ROOT,
            env=_environment() | step.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=limit_s)
            why = "" if code == 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            why = f"not done after {limit_s / 60:.0f} min"
        finally:
            _end(process)
    seconds = time.monotonic() - began
    last = _last_line(path).replace(f"{ROOT}/", "")
    if why:
        return told("failed", f"{why}: {last}" if last else why, seconds)
    return told("passed", last, seconds)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the whole group: first as a terminal would, then for good."""
    for how, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:160]


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    return done.stdout.strip()


def _machine() -> str:
    facts = machine()
    return f"{facts['cpu']}, {facts['cores']} cores, {facts['kernel']}"


def _environment() -> dict[str, str]:
    """Without what make hands to a make within it: ARGS are each step's own."""
    return {
        key: value for key, value in os.environ.items() if key not in ("ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")
    }


if __name__ == "__main__":
    sys.exit(main())
