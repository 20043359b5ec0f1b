"""What a calibration concludes from its steps: which bound was left at how many calls, and the capacity of it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

DELAY_P99_MS = 20.0
"""Longest that 1 of 100 frames may be on its way there and back."""
LOST = 0.001
"""Largest share of frames that may not come."""
TURN_P90_ADDED_MS = 300.0
"""Longest that load may delay answers, against those with the fewest calls."""
OWN_LATE_P99_MS = 5.0
"""The callers' own schedule: a step that missed it says nothing."""
MARGIN = 2 / 3
"""Share of the calls within bounds that become the capacity: callers do not come evenly."""
SCALED = 0.8
"""Share of the capacity that the autoscaler keeps a worker at: new ones take a while."""
GROWTH = 1.4


@dataclass(frozen=True)
class Step:
    """So many calls, held for a while. None: not measured."""

    calls: int
    cores: float
    """Cores that the service kept busy."""
    own_late_p99_ms: float
    delay_p99_ms: float | None = None
    lost: float = 0.0
    turn_p90_ms: float | None = None
    overloaded: bool = False
    failed: int = 0


@dataclass(frozen=True)
class Found:
    """What a service carries."""

    calls: int
    """Within all bounds; 0 if not even the first step was."""
    calls_a_core: int
    capacity: int
    limit: str
    """What happened at more."""
    reached: bool
    """Whether a bound of the service itself was left: else it carries more than this machine could show."""


def late(step: Step) -> str | None:
    """Why a step says nothing of the service."""
    if step.own_late_p99_ms > OWN_LATE_P99_MS:
        late_ms = f"{step.own_late_p99_ms:.1f} ms late (p99)"
        return f"at {step.calls} calls the callers' own packets were {late_ms}: this machine can load it no further"
    return None


def left(step: Step, first: Step) -> str | None:
    """Which bound of the service a step left, in words; None if it stayed within all."""
    if step.failed:
        return f"{step.failed} calls failed"
    if step.overloaded:
        return "voice detection was late: the worker took itself for overloaded"
    if step.delay_p99_ms is not None and step.delay_p99_ms > DELAY_P99_MS:
        return f"1 % of frames were {step.delay_p99_ms:.1f} ms or longer on their way (limit {DELAY_P99_MS:.0f} ms)"
    if step.lost > LOST:
        return f"{100 * step.lost:.2f} % of frames did not come (limit {100 * LOST:.1f} %)"
    if step.turn_p90_ms is not None and first.turn_p90_ms is not None:
        added = step.turn_p90_ms - first.turn_p90_ms
        if added > TURN_P90_ADDED_MS:
            return f"1 of 10 answers came {added:.0f} ms later than with {first.calls} calls"
    return None


def next_calls(calls: int, most: int) -> int | None:
    """How many the next step has; None after the last."""
    return min(most, math.ceil(calls * GROWTH)) if calls < most else None


def conclude(steps: Sequence[Step]) -> Found:
    """From at least one step, of which only the last may have left a bound or been late."""
    last = steps[-1]
    missed, own = left(last, steps[0]), late(last)
    good = [step for step in steps if step is not last or not (missed or own)]
    best = good[-1] if good else None
    limit = own or (f"at {last.calls} calls {missed}" if missed else f"no bound was left with {last.calls} calls")
    calls = best.calls if best else 0
    per_core = int(best.calls / best.cores) if best and best.cores > 0 else 0
    return Found(calls, per_core, max(1, int(calls * MARGIN)), limit, bool(missed) and own is None)


def settings(edge: Found | None, worker: Found | None) -> str:
    """A file for `--config`: admission takes it, and the metrics that the dashboard shows are made of it."""
    tree = {name: {"capacity": found.capacity} for name, found in (("edge", edge), ("worker", worker)) if found}
    return "# Measured by antiphon calibrate.\n" + str(yaml.safe_dump(tree, sort_keys=True))


def helm_values(edge: Found | None, worker: Found | None) -> str:
    """Values for the chart: capacities, and the sessions that the autoscaler keeps a worker at."""
    tree: dict[str, Any] = {}
    if edge:
        tree["edge"] = {"capacity": edge.capacity}
    if worker:
        sessions = max(1, int(worker.capacity * SCALED))
        tree["worker"] = {"capacity": worker.capacity, "autoscaling": {"sessions": sessions}}
    return "# Measured by antiphon calibrate: helm upgrade ... --values this-file\n" + str(
        yaml.safe_dump(tree, sort_keys=True)
    )
