"""The engine's detector on the cases, and what it made of them: time to hold, and false holds a minute."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from loadtest.hold.cases import SECONDS
from loadtest.measuring.tools import BenchError, build_caller

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadtest.hold.cases import Case

TARGET_MS, TARGET_FALSE = 60, 1.0
_LATE_FRAMES = 50
_FRAME_MS = 20


@dataclass
class Found:
    """What was found of a group of cases."""

    delays_ms: list[float] = field(default_factory=list)
    """From the begin of the onset's frame to the end of the frame that held; infinite when none did within a second."""
    false_holds: int = 0
    minutes: float = 0.0
    worst: float = 0.0
    """False holds a minute of the worst case of the group."""

    def add(self, delays: list[float], false: int) -> None:
        self.delays_ms += delays
        self.false_holds += false
        self.minutes += SECONDS / 60
        self.worst = max(self.worst, false / (SECONDS / 60))

    @property
    def a_minute(self) -> float:
        return self.false_holds / self.minutes

    def within(self, milliseconds: float) -> float:
        return float(np.mean([delay <= milliseconds for delay in self.delays_ms]))

    def quantile(self, percent: float) -> float:
        return float(np.percentile(self.delays_ms, percent, method="higher"))


def measure(cases: Iterable[Case]) -> dict[str, dict[str, Found]]:
    """Runs all cases through the engine's detector. Returns what was found by kind and group."""
    listed = list(cases)
    program = build_caller()
    lines = "".join(f"{case.line()}\n" for case in listed)
    done = subprocess.run([str(program), "hold"], input=lines, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(done.stderr.strip())
    found: dict[str, dict[str, Found]] = defaultdict(lambda: defaultdict(Found))
    for case, line in zip(listed, done.stdout.splitlines(), strict=True):
        delays, false = judge(case, json.loads(line)["onsets"])
        found[case.kind][case.group].add(delays, false)
    return found


def judge(case: Case, holds: list[int]) -> tuple[list[float], int]:
    """Returns the delay of each onset, and the holds that were none's."""
    delays = []
    for onset in case.onsets:
        after = [hold for hold in holds if onset - 2 <= hold < onset + _LATE_FRAMES]
        delays.append((after[0] + 1 - onset) * _FRAME_MS if after else float("inf"))
    false = sum(1 for hold in holds if not case.speech[max(0, hold - 3) : hold + 1].any())
    return delays, false
