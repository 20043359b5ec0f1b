"""Real services: an edge that comes back empty gets calls of the full one, which go on meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from antiphon.client import Caller
from tests.integration.conftest import AGENTS
from tests.integration.test_regions import answers
from tests.support.cluster import LocalCluster
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator

EAGER = {"enabled": True, "gain_ms": 100, "stay_s": 5, "every_s": 0.5, "moves_per_minute": 600}
ENVIRONMENT = {
    "ANTIPHON_PLACEMENT__REBALANCE": json.dumps(EAGER),
    "ANTIPHON_SIGNALING__POLICY": "least_loaded",
    "ANTIPHON_EDGE__CAPACITY": "4",
}


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster("--agents", str(AGENTS), env=ENVIRONMENT) as running:
        yield running


@pytest.mark.timeout(240)
async def test_an_edge_that_comes_back_empty_gets_calls_back_and_then_they_stay(cluster: LocalCluster) -> None:
    cluster.post("/v1/edges/edge-virginia:drain").raise_for_status()
    async with Caller(cluster.url, agent="mirror") as one, Caller(cluster.url, agent="mirror") as other:
        calls = (one, other)
        for call in calls:
            await answers(call)
        assert {call.edge for call in calls} == {"edge-frankfurt"}
        cluster.post("/v1/edges/edge-virginia:undrain").raise_for_status()

        def spread() -> bool:
            return Counter(call.edge for call in calls) == {"edge-frankfurt": 1, "edge-virginia": 1}

        await until(spread, seconds=90, what="that a call has come to the empty edge")
        for call in calls:
            await answers(call)

        def settled() -> bool:
            plan = cluster.get("/v1/placements:rebalance").json()
            return bool(plan["moves"] == [] and plan["stays"] == {"near_enough": 2})

        await until(settled, seconds=90, what="that both may move again, and do not want to")
        assert spread()
        assert sum(len(call.moves) for call in calls) == 1
        assert not any(call.ended for call in calls)
