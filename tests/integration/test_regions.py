"""Real services with a Valkey for each region: a call moves across, and lives while its first region has none."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from antiphon.client import Caller
from tests.integration.conftest import AGENTS
from tests.integration.test_calls import ended_record
from tests.support.cluster import LocalCluster
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster("--regions", "frankfurt,tokyo", "--redis-per-region", "--agents", str(AGENTS)) as running:
        yield running


def valkey_of(cluster: LocalCluster, region: str) -> int:
    """Its process, by the port that signaling was told."""
    told = Path(f"/proc/{cluster.pid('signaling')}/environ").read_bytes().split(b"\0")
    mark = b"ANTIPHON_REDIS__REGIONS="
    urls = json.loads(next(one for one in told if one.startswith(mark)).removeprefix(mark))
    port = httpx.URL(urls[region]).port
    return next(pid for pid, line in cluster.processes().items() if f"--port {port} " in line or f":{port}" in line)


def regions_away(cluster: LocalCluster) -> list[str]:
    found: list[str] = cluster.get("/v1/regions").json()["regions_away"]
    return found


async def answers(call: Caller) -> None:
    """Its agent hears it, and it hears its agent."""
    before = len(call.messages)
    await call.send("are you there?")
    await call.wait_for(lambda: len(call.messages) > before, within=60)


@pytest.mark.timeout(240)
async def test_a_call_moves_to_another_regions_redis_and_goes_on_while_its_own_is_away(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="mirror", region="tokyo") as call:
        assert call.edge == "edge-tokyo"
        await answers(call)
        cluster.post("/v1/edges/edge-tokyo:drain").raise_for_status()
        await call.wait_for(lambda: call.moves, within=60)
        assert call.edge == "edge-frankfurt"
        record = cluster.get(f"/v1/sessions/{call.session}").json()
        assert (record["id"].split("_")[1], record["edge"]) == ("tokyo", "edge-frankfurt")
        cluster.post("/v1/edges/edge-tokyo:undrain").raise_for_status()

        valkey = valkey_of(cluster, "tokyo")
        os.kill(valkey, signal.SIGSTOP)
        try:
            await until(lambda: regions_away(cluster) == ["tokyo"], seconds=60, what="that the Redis is missed")
            async with Caller(cluster.url, agent="mirror", region="tokyo") as other:
                assert other.edge == "edge-frankfurt"
            assert "tokyo" in cluster.get("/readyz").text
            await answers(call)
            assert not call.ended
        finally:
            os.kill(valkey, signal.SIGCONT)
        await until(lambda: regions_away(cluster) == [], seconds=60, what="that the Redis is back")
        session = call.session
    record = await until(lambda: ended_record(cluster, session), seconds=60, what="the session's record")
    assert record["agent"] == "mirror"
