"""How full an edge is, in milliseconds: little until it is nearly full, so that a near edge is used before far ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.placement.members import load, load_in_words

if TYPE_CHECKING:
    from antiphon.cluster import EdgeRecord
    from antiphon.placement.evidence import Evidence

FULL_MS = 30.0
"""What a full edge is worth in round trip; half full, an eighth of it."""


def cost(edge: EdgeRecord, evidence: Evidence) -> float:
    """Milliseconds."""
    del evidence
    return FULL_MS * load(edge) ** 3


def why(edge: EdgeRecord, evidence: Evidence) -> str:
    counts = cost(edge, evidence)
    return load_in_words(edge) + (f", which counts {counts:.0f} ms" if counts >= 1 else "")
