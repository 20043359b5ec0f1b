"""Whether the load kept its own schedule: figures of one that did not tell of the load, not of the server. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.measuring.tools import LATE

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LATE", "Bins", "add_bins", "faults", "quantile", "since"]

Bins = dict[int, int]
"""A distribution: upper bound of a bin in us, how many."""
PACKETS_LATE_MS = 5.0
"""Of packets, 99 % leave no later than this."""
HUB_LATE_MS = 200.0
"""Of the looks of Python's loop at the callers, 99 % come no later: placements and reactions are timed by it."""
_US = 1_000


def quantile(bins: Bins, share: float) -> float | None:
    """The time in ms that a share does not exceed; None of nothing."""
    total = sum(bins.values())
    if not total:
        return None
    seen = 0
    for bound in sorted(bins):
        seen += bins[bound]
        if seen >= share * total:
            return bound / _US
    return max(bins) / _US


def add_bins(*parts: Bins) -> Bins:
    """All of them in one."""
    total: Bins = {}
    for part in parts:
        for bound, count in part.items():
            total[bound] = total.get(bound, 0) + count
    return total


def since(now: Bins, before: Bins) -> Bins:
    """What was added to a distribution."""
    return {bound: count - before.get(bound, 0) for bound, count in now.items() if count > before.get(bound, 0)}


def faults(packets_late: Bins, hub_late: Iterable[Bins]) -> list[str]:
    """What was not kept, in words, of all packets and of each process of the load; empty if all was."""
    found = []
    late = quantile(packets_late, 0.99)
    if late is not None and late > PACKETS_LATE_MS:
        found.append(f"1 % of packets left {late:.1f} ms late or later (limit {PACKETS_LATE_MS:.0f} ms)")
    worst = max((quantile(bins, 0.99) or 0.0 for bins in hub_late), default=0.0)
    if worst > HUB_LATE_MS:
        found.append(f"1 % of a process's own steps came {worst:.0f} ms late or later (limit {HUB_LATE_MS:.0f} ms)")
    return found
