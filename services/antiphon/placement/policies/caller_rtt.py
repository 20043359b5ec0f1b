"""The round trip between caller and edge: measured, else learned of the caller's network, else expected of the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.placement.geography import expected_rtt_ms

if TYPE_CHECKING:
    from antiphon.cluster import EdgeRecord
    from antiphon.placement.evidence import Evidence


def cost(edge: EdgeRecord, evidence: Evidence) -> float:
    """Milliseconds."""
    measured = evidence.measured.get(edge.region)
    if measured is not None:
        return measured
    learned = evidence.learned.get(edge.region)
    if learned is not None:
        return learned.ms
    return max(_expected(edge, evidence), evidence.slowest_ms)


def why(edge: EdgeRecord, evidence: Evidence) -> str:
    if edge.region in evidence.measured:
        return f"{_ms(evidence.measured[edge.region])} measured by the caller"
    if edge.region in evidence.learned:
        learned = evidence.learned[edge.region]
        return f"{_ms(learned.ms)} learned from calls of {learned.network}"
    expected, least = _expected(edge, evidence), evidence.slowest_ms
    # All probes leave together: a region that has not answered is farther than those that have.
    if least > expected:
        return f"at least {_ms(least)}: the caller had no answer of its probe in time"
    if evidence.place is None:
        return "the caller's place is unknown"
    return f"{evidence.distance_km(edge):.0f} km, {expected:.0f} ms expected"


def _expected(edge: EdgeRecord, evidence: Evidence) -> float:
    return 0.0 if evidence.place is None else expected_rtt_ms(evidence.distance_km(edge))


def _ms(value: float) -> str:
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"
