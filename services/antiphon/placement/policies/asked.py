"""The region asked for comes before all others, which stand in when it has no room. No evidence, but a wish."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon.cluster import EdgeRecord
    from antiphon.placement.evidence import Evidence

_ELSEWHERE_MS = 10_000.0


def cost(edge: EdgeRecord, evidence: Evidence) -> float:
    """Milliseconds: more than any path has."""
    return _ELSEWHERE_MS if evidence.asked and edge.region != evidence.asked else 0.0


def why(edge: EdgeRecord, evidence: Evidence) -> str:
    return f"not in {evidence.asked}, which was asked for" if cost(edge, evidence) else ""
