"""The edge with the most room, wherever it stands: for clusters in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.placement.ranking import Score, load, load_in_words

if TYPE_CHECKING:
    from antiphon.cluster import EdgeRecord
    from antiphon.placement.evidence import Evidence


def least_loaded(edge: EdgeRecord, evidence: Evidence) -> Score:
    del evidence
    return load(edge), load_in_words(edge)
