"""Which edge and which worker shall have a session: pure policy over what is known."""

from antiphon.placement.evidence import Evidence, Locator, caller_address, gather
from antiphon.placement.geography import Place, distance_km, expected_rtt_ms
from antiphon.placement.policies import POLICIES, policy_named
from antiphon.placement.ranking import Choice, Policy, Ranking, rank_edges, rank_workers

__all__ = [
    "POLICIES",
    "Choice",
    "Evidence",
    "Locator",
    "Place",
    "Policy",
    "Ranking",
    "caller_address",
    "distance_km",
    "expected_rtt_ms",
    "gather",
    "policy_named",
    "rank_edges",
    "rank_workers",
]
