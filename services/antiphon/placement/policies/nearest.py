"""The edge with the shortest expected round trip, unless it is so loaded that a farther one answers sooner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.placement.geography import Place, distance_km, expected_rtt_ms
from antiphon.placement.ranking import Score, load, load_in_words

if TYPE_CHECKING:
    from antiphon.cluster import EdgeRecord
    from antiphon.placement.evidence import Evidence

_FULL_LOAD_MS = 30.0  # what a full edge is worth in round trip; half full, an eighth of it


def nearest(edge: EdgeRecord, evidence: Evidence) -> Score:
    penalty = _FULL_LOAD_MS * load(edge) ** 3
    if evidence.place is None:
        return penalty, load_in_words(edge)
    distance = distance_km(evidence.place, Place(edge.latitude, edge.longitude))
    rtt = expected_rtt_ms(distance)
    why = f"{distance:.0f} km, {rtt:.0f} ms expected; {load_in_words(edge)}"
    return rtt + penalty, why + (f", which counts {penalty:.0f} ms" if penalty >= 1 else "")
