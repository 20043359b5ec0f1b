"""What a whole load test found, of all its processes: kept second by second, judged, and written as JSON at the end."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loadtest.load.schedule import Bins, add_bins, faults, quantile, since

if TYPE_CHECKING:
    from pathlib import Path

    from locust.env import Environment

_COUNTS = ("sent", "voice", "received", "expected", "echoed", "unechoed")


def empty() -> dict[str, Any]:
    return {"groups": {}, "lateness_us": {}, "hub_late_us": {}, "cpu_s": 0.0}


def as_bins(bins: dict[Any, int]) -> Bins:
    """Keys become text on their way through JSON and msgpack."""
    return {int(bound): count for bound, count in bins.items()}


def summed(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Totals of several processes as one's; the hub's lateness is theirs one by one and is left out."""
    total = empty()
    del total["hub_late_us"]
    for part in parts:
        total["cpu_s"] += part["cpu_s"]
        total["lateness_us"] = add_bins(total["lateness_us"], as_bins(part["lateness_us"]))
        for name, group in part["groups"].items():
            into = total["groups"].setdefault(name, dict.fromkeys(_COUNTS, 0) | {"delay_us": {}})
            for count in _COUNTS:
                into[count] += group[count]
            into["delay_us"] = add_bins(into["delay_us"], as_bins(group["delay_us"]))
    return total


@dataclass
class Results:
    """Of one run; `parts` by process."""

    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    timeline: list[dict[str, Any]] = field(default_factory=list)
    _before: dict[str, Any] = field(default_factory=lambda: summed([]))

    def clear(self) -> None:
        """Another test begins."""
        self.parts.clear()
        self.timeline.clear()
        self._before = summed([])

    def totals(self) -> dict[str, Any]:
        return summed(list(self.parts.values()))

    def faults(self) -> list[str]:
        """Why this run must not be reported; empty if nothing speaks against it."""
        hub = [as_bins(part["hub_late_us"]) for part in self.parts.values()]
        return faults(self.totals()["lateness_us"], hub)

    def sample(self, users: int) -> None:
        """Adds a row to the time line."""
        now, before = self.totals(), self._before
        self._before = now
        delays = since(*(add_bins(*(group["delay_us"] for group in one["groups"].values())) for one in (now, before)))

        def grown(count: str, groups: dict[str, Any]) -> int:
            return sum(int(group[count]) for group in groups.values())

        counts = {count: grown(count, now["groups"]) - grown(count, before["groups"]) for count in _COUNTS}
        late = quantile(since(now["lateness_us"], before["lateness_us"]), 0.99)
        self.timeline.append(
            {
                "at": time.time(),
                "users": users,
                "delay_p50_ms": quantile(delays, 0.5),
                "delay_p99_ms": quantile(delays, 0.99),
                "lateness_p99_ms": late,
                "generator_cpu_s": now["cpu_s"],
                **counts,
            }
        )

    def write(self, path: Path, environment: Environment) -> None:
        """As JSON: entries of locust's statistics, totals by persona, time line."""
        options = environment.parsed_options
        stats = environment.stats
        entries = {
            name: {
                "count": entry.num_requests,
                "failures": entry.num_failures,
                "times_ms": {str(ms): count for ms, count in sorted(entry.response_times.items())},
            }
            for (name, _), entry in stats.entries.items()
        }
        failures = [
            {"name": error.name, "error": str(error.error), "count": error.occurrences}
            for error in stats.errors.values()
        ]
        document = {
            "users": options.num_users if options else None,
            "mix": options.mix if options else "",
            "shape": options.shape if options else "",
            "agent": options.agent if options else "",
            "host": environment.host,
            "entries": entries,
            "failures": failures,
            "totals": self.totals(),
            "timeline": self.timeline,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
