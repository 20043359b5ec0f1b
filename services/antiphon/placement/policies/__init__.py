"""The policies by name, one a file, and how `signaling.policy` combines them: an edge's cost is the sum of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.errors import ConfigError
from antiphon.placement.policies import asked, caller_rtt, least_loaded, load, worker_rtt
from antiphon.placement.ranking import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence

POLICIES: dict[str, Policy] = {
    "asked": Policy("asked", asked.cost, asked.why),
    "caller_rtt": Policy("caller_rtt", caller_rtt.cost, caller_rtt.why),
    "worker_rtt": Policy("worker_rtt", worker_rtt.cost, worker_rtt.why),
    "load": Policy("load", load.cost, load.why),
    "least_loaded": Policy("least_loaded", least_loaded.cost, least_loaded.why),
}
COMBINATIONS: dict[str, tuple[str, ...]] = {
    "nearest": ("asked", "caller_rtt", "worker_rtt", "load"),
}
"""Names for several at once."""


def policies_named(names: str | Sequence[str]) -> tuple[Policy, ...]:
    """One name, of a policy or of a combination, or several. Raises ConfigError where there is none of a name."""
    wanted = [
        part for name in ([names] if isinstance(names, str) else names) for part in COMBINATIONS.get(name, (name,))
    ]
    for name in wanted:
        if name not in POLICIES:
            known = ", ".join([*COMBINATIONS, *POLICIES])
            raise ConfigError(f"signaling.policy: there is no policy {name!r}; known: {known}")
    if not wanted or len(set(wanted)) != len(wanted):
        raise ConfigError(f"signaling.policy: takes one policy or more, each once, not {', '.join(wanted) or 'none'}")
    return tuple(POLICIES[name] for name in wanted)


__all__ = ["COMBINATIONS", "POLICIES", "policies_named"]
