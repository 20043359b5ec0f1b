"""The edge with the most room, wherever it stands: for clusters in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.placement.members import load, load_in_words

if TYPE_CHECKING:
    from antiphon.cluster import EdgeRecord
    from antiphon.placement.evidence import Evidence

_FULL_MS = 1000.0


def cost(edge: EdgeRecord, evidence: Evidence) -> float:
    """Milliseconds: more than any round trip."""
    del evidence
    return _FULL_MS * load(edge)


def why(edge: EdgeRecord, evidence: Evidence) -> str:
    del evidence
    return load_in_words(edge)
