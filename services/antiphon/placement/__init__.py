"""Which edge and which worker shall have a session: pure policy over what is known."""

from antiphon.placement.distances import Distances
from antiphon.placement.evidence import Evidence, Link, gather
from antiphon.placement.geography import Place, distance_km, expected_rtt_ms
from antiphon.placement.geoip import Locator
from antiphon.placement.networks import networks_of
from antiphon.placement.origin import LOCATION_HEADERS, NOBODY, Origin, caller_address, forwarded_for, joined, origin_of
from antiphon.placement.policies import COMBINATIONS, POLICIES, policies_named
from antiphon.placement.ranking import Choice, Policy, Ranking, rank_edges, rank_workers
from antiphon.placement.rebalancing import Bounds, Plan, Shift, Stay, plan_shifts

__all__ = [
    "COMBINATIONS",
    "LOCATION_HEADERS",
    "NOBODY",
    "POLICIES",
    "Bounds",
    "Choice",
    "Distances",
    "Evidence",
    "Link",
    "Locator",
    "Origin",
    "Place",
    "Plan",
    "Policy",
    "Ranking",
    "Shift",
    "Stay",
    "caller_address",
    "distance_km",
    "expected_rtt_ms",
    "forwarded_for",
    "gather",
    "joined",
    "networks_of",
    "origin_of",
    "plan_shifts",
    "policies_named",
    "rank_edges",
    "rank_workers",
]
