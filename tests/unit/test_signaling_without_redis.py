"""New calls while Redis is away: refused, or placed by a node at its own region's edges, and written afterwards."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from antiphon.cluster import Cluster
from antiphon.cluster.embedded import EmbeddedValkey
from antiphon.errors import UnavailableError
from tests.support.edge_double import EdgeDouble, Refusal, serving
from tests.support.members import edge, kept, worker
from tests.support.signaling import OFFER, signaling
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

PLACES = {"signaling": {"without_redis": "place"}, "region": {"name": "frankfurt"}}
VIRGINIA = {"region": "virginia", "latitude": 38.95, "longitude": -77.45}


class Site:
    """A node in frankfurt; an edge there and one in virginia, which report their sessions as edges do."""

    def __init__(self, valkey: EmbeddedValkey, here: EdgeDouble, there: EdgeDouble, http: httpx.AsyncClient) -> None:
        self.valkey, self.here, self.there, self.http = valkey, here, there, http

    async def call(self, **wishes: Any) -> httpx.Response:
        return await self.http.post("/v1/sessions", json={"sdp": OFFER, "agent": "parrot", **wishes})

    async def lose_redis(self) -> None:
        await self.valkey.kill()


@asynccontextmanager
async def site(**sections: Any) -> AsyncIterator[Site]:
    here, there = EdgeDouble(), EdgeDouble()

    def live() -> dict[str, int]:
        return {one.session: one.epoch for one in here.opened if one.session in here.live}

    async with (
        EmbeddedValkey() as valkey,
        serving(here) as control,
        serving(there) as far,
        Cluster(valkey.url) as cluster,
        kept(
            cluster, edge("edge-f", control=control), edge("edge-v", control=far, **VIRGINIA), worker(), sessions=live
        ),
        signaling(valkey, **sections) as http,
    ):
        found = Site(valkey, here, there, http)
        assert (await found.call()).status_code == 201
        yield found


async def test_they_are_refused_unless_configured() -> None:
    async with site() as here:
        await here.lose_redis()
        reply = await here.call()
        assert (await here.http.get("/readyz")).status_code == 503
    assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
    assert int(reply.headers["retry-after"]) >= 1


async def test_they_are_placed_at_an_edge_of_the_nodes_region_and_written_when_redis_is_back() -> None:
    async with site(**PLACES) as here:
        before = len(here.there.opened)
        await here.lose_redis()
        replies = [await here.call(metadata={"name": "Ada"}) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [201] * 3
        told = [reply.json() for reply in replies]
        assert {one["edge"] for one in told} == {"edge-f"}
        assert (await here.http.get("/readyz")).status_code == 200
        assert len({one["epoch"] for one in told}) == 3
        assert len(here.there.opened) == before, "the other region's nodes may still have their Redis"
        await here.valkey.start()

        async def written() -> bool:
            async with Cluster(here.valkey.url) as cluster:
                with suppress(UnavailableError):
                    records = [await cluster.session(one["id"]).record() for one in told]
                    return all(
                        record is not None and record.state == "live" and not record.restored for record in records
                    )
            return False

        await until(written, seconds=30, every=0.1, what="the records")
        for one in told:
            record = (await here.http.get(f"/v1/sessions/{one['id']}")).json()
            assert (record["agent"], record["metadata"], record["epoch"]) == ("parrot", {"name": "Ada"}, one["epoch"])
            assert (record["edge"], record["worker"]) == ("edge-f", "worker-a")

        async def counted() -> bool:
            edges = {one["id"]: one["sessions"] for one in (await here.http.get("/v1/edges")).json()["edges"]}
            return edges.get("edge-f") == len(here.here.live)

        await until(counted, seconds=30, every=0.1, what="each session counted once")


async def test_the_edge_admits_by_its_own_capacity_and_another_region_is_not_asked() -> None:
    async with site(**PLACES) as here:
        await here.lose_redis()
        here.here.refusal = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "no_room", "no room for another session")
        reply = await here.call()
        assert (reply.status_code, reply.json()["code"]) == (503, "no_edge")


async def test_rooms_wait_since_only_redis_knows_where_they_are() -> None:
    async with site(**PLACES) as here:
        await here.lose_redis()
        reply = await here.call(room="kitchen")
    assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")


async def test_a_node_of_a_region_without_edges_places_nothing() -> None:
    async with site(signaling=PLACES["signaling"], region={"name": "tokyo"}) as here:
        await here.lose_redis()
        reply = await here.call()
    assert reply.status_code == 503


@pytest.mark.parametrize("first", ["written", "ended"])
async def test_a_session_that_ended_before_it_was_written_stays_ended(server: EmbeddedValkey, first: str) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker()):
        given = await cluster.claim("ses_x", agent="parrot", edges=["edge-a"], workers=["worker-a"])
        unknown = type(given)("ses_y", cluster.next_epoch(), given.edge, given.worker, written=False)
        fields: dict[str, Any] = {"agent": "parrot", "project": "acme"}
        for step in ("written", "ended") if first == "written" else ("ended", "written"):
            if step == "written":
                await cluster.session(unknown.session).adopt(unknown, 1, fields)
            else:
                await cluster.session("ses_y").release(unknown.epoch, {"reason": "bye"}, edge="edge-a")
        record = await cluster.session("ses_y").record()
        assert record is not None
        assert (record.state, record.project, record.outcome) == ("ended", "acme", {"reason": "bye"})
        assert [one.id for one in (await cluster.sessions(project="acme")).records] == ["ses_y"]
        assert (await cluster.sessions(live=True, project="acme")).records == ()
