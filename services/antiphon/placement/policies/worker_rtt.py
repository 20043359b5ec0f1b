"""The round trip between an edge and the worker that it would use, as the edge's own link measures it.

An edge that has measured none yet counts as the farthest of those that have: it takes sessions a second later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon.cluster import EdgeRecord
    from antiphon.placement.evidence import Evidence


def cost(edge: EdgeRecord, evidence: Evidence) -> float:
    """Milliseconds."""
    link = evidence.links.get(edge.id)
    if link is not None and link.ms is not None:
        return link.ms
    return evidence.farthest_link_ms


def why(edge: EdgeRecord, evidence: Evidence) -> str:
    link = evidence.links.get(edge.id)
    if link is None:
        return "no worker to reach"
    if link.ms is None:
        return f"link to {link.worker} not measured yet"
    return f"{link.ms:.1f} ms to {link.worker}"
