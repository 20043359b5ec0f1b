"""A signaling node over regions with a Redis each: placing, moving and telling while one of them is away."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc

from antiphon.cli.checks.memory import check_memory
from antiphon.cli.status import Wish, show_status
from antiphon.config import load_config
from antiphon.ids import session_region
from tests.support.edge_double import EdgeDouble, Refusal, serving
from tests.support.regions import Regions, edge_f, edge_t, everybody, regions
from tests.support.signaling import OFFER, served, signaling
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    import pytest


class Site:
    """A node in frankfurt; an edge there and one in tokyo."""

    def __init__(self, there: Regions, doubles: dict[str, EdgeDouble], http: httpx.AsyncClient) -> None:
        self.there, self.doubles, self.http = there, doubles, http

    async def call(self, **wishes: Any) -> httpx.Response:
        headers = wishes.pop("headers", None)
        return await self.http.post("/v1/sessions", json={"sdp": OFFER, "agent": "parrot", **wishes}, headers=headers)

    async def lose(self, region: str) -> None:
        await self.there.own[region].kill()

        async def noticed() -> bool:
            return region in (await self.http.get("/v1/regions")).json()["regions_away"]

        await until(noticed)

    async def ready(self) -> tuple[int, str]:
        reply = await self.http.get("/readyz")
        return reply.status_code, reply.text.strip()


@asynccontextmanager
async def site(**sections: Any) -> AsyncIterator[Site]:
    here, far = EdgeDouble(), EdgeDouble()
    async with (
        regions() as there,
        serving(here) as control,
        serving(far) as far_control,
        everybody(there, edge_f(control=control), edge_t(control=far_control)),
        signaling(there.common, redis=there.settings, **({"region": {"name": "frankfurt"}} | sections)) as http,
    ):
        found = Site(there, {"frankfurt": here, "tokyo": far}, http)

        async def all_there() -> bool:
            return len((await http.get("/v1/edges")).json()["edges"]) == 2

        await until(all_there)
        yield found


async def test_calls_of_a_region_whose_redis_is_away_are_placed_in_another() -> None:
    async with site() as here:
        assert (await here.call(region="tokyo")).json()["region"] == "tokyo"
        assert await here.ready() == (200, "ok")
        await here.lose("tokyo")
        reply = await here.call(region="tokyo")
        assert (reply.status_code, reply.json()["region"]) == (201, "frankfurt")
        assert session_region(reply.json()["id"]) == "frankfurt"
        listed = (await here.http.get("/v1/sessions")).json()
        assert [one["id"] for one in listed["sessions"]] == [reply.json()["id"]]
        assert listed["regions_away"] == ["tokyo"]
        assert await here.ready() == (200, "ok, but Redis is away in tokyo")
        await here.lose("frankfurt")
        reply = await here.call()
        assert (reply.status_code, reply.json()["code"]) == (503, "no_edge")
        assert (await here.ready())[0] == 503


async def test_a_redis_that_goes_away_between_look_and_claim_costs_its_region_alone() -> None:
    async with site() as here:
        await here.there.own["tokyo"].kill()  # nobody has noticed yet
        reply = await here.call(region="tokyo")
        assert (reply.status_code, reply.json()["region"]) == (201, "frankfurt")


async def test_the_nodes_own_region_is_filled_without_its_redis_where_configured() -> None:
    async with site(signaling={"without_redis": "place"}) as here:
        await here.lose("frankfurt")
        mine = await here.call(region="frankfurt", metadata={"name": "Ada"})
        other = await here.call(region="tokyo")
        assert [mine.json()["edge"], other.json()["edge"]] == ["edge-f", "edge-t"]
        assert (await here.http.get(f"/v1/sessions/{other.json()['id']}")).status_code == 200
        await here.there.own["frankfurt"].start()

        async def written() -> bool:
            reply = await here.http.get(f"/v1/sessions/{mine.json()['id']}")
            return reply.status_code == 200 and reply.json()["metadata"] == {"name": "Ada"}

        await until(written)


async def test_a_session_moves_to_another_region_under_its_id_and_back() -> None:
    async with site() as here:
        first = (await here.call(region="frankfurt")).json()
        path = f"/v1/sessions/{first['id']}"
        moved = (await here.http.post(f"{path}:move", json={"sdp": OFFER, "region": "tokyo"})).json()
        assert (moved["id"], moved["edge"]) == (first["id"], "edge-t")
        assert moved["epoch"] > first["epoch"]
        assert here.doubles["tokyo"].opened[0].epoch == moved["epoch"]
        assert (await here.http.get(path)).json()["edge"] == "edge-t"
        back = (await here.http.post(f"{path}:move", json={"sdp": OFFER, "lost": ["edge-t"]})).json()
        assert (back["edge"], back["epoch"] > moved["epoch"]) == ("edge-f", True)
        await here.lose("tokyo")
        assert (await here.http.delete(path)).status_code == 204
        assert (await here.http.get(path)).json()["state"] == "ended"


async def test_a_session_goes_on_while_the_region_that_it_moved_to_has_no_redis() -> None:
    async with site() as here:
        first = (await here.call(region="frankfurt")).json()
        path = f"/v1/sessions/{first['id']}"
        assert (await here.http.post(f"{path}:move", json={"sdp": OFFER, "region": "tokyo"})).status_code == 200
        await here.lose("tokyo")
        assert (await here.http.get(path)).json()["edge"] == "edge-t"
        assert (await here.http.delete(path)).status_code == 204
        assert [one.session for one in here.doubles["tokyo"].closed] == [first["id"]], "its edge is still reached"


async def test_events_and_requests_that_are_done_once_span_regions() -> None:
    async with site() as here:
        key = {"Idempotency-Key": "a-key-of-mine"}
        first = await here.call(region="tokyo", headers=key)
        again = await here.call(region="tokyo", headers=key)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.json() == first.json()
        other = await here.call(region="frankfurt")
        told = await here.http.get("/v1/events", params={"for_s": 0}, headers={"Last-Event-ID": "0-0"})
        lines = told.text.splitlines()
        created = [json.loads(lines[at + 1][6:]) for at, line in enumerate(lines) if line == "event: session.created"]
        assert {one["session"] for one in created} == {first.json()["id"], other.json()["id"]}
        last = [line[4:] for line in lines if line.startswith("id: ")][-1]
        assert {part.split(":")[0] for part in last.split(",")} == {"all", "frankfurt", "tokyo"}
        rest = await here.http.get("/v1/events", params={"for_s": 0}, headers={"Last-Event-ID": last})
        assert "event:" not in rest.text
        bad = await here.http.get("/v1/events", headers={"Last-Event-ID": "tokyo:1-0;"})
        assert bad.status_code == 400


async def test_status_and_doctor_tell_which_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    async with site() as here, served(here.there.common, redis=here.there.settings) as url:
        config = load_config(redis=here.there.settings)
        assert {check.level for check in await check_memory(config)} == {"ok"}
        await here.lose("tokyo")
        failed = [check for check in await check_memory(config) if check.level == "failure"]
        assert [check.subject for check in failed] == ["redis.regions.tokyo"]
        assert "redis.regions.tokyo" in failed[0].todo

        async def told() -> bool:
            assert await show_status(Wish(url)) == 0
            return "warning  the Redis of region tokyo does not answer" in capsys.readouterr().out

        await until(told)
        metrics = (await here.http.get("/metrics")).text
        assert 'antiphon_cluster_redis_up{region="tokyo"} 0.0' in metrics
        assert 'antiphon_cluster_redis_up{region="frankfurt"} 1.0' in metrics


async def test_a_first_member_that_comes_to_nothing_leaves_its_room_to_others() -> None:
    async with site() as here:
        here.doubles["tokyo"].refusal = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "bad_offer", "no audio")
        assert (await here.call(room="lobby", region="tokyo")).status_code == 400
        assert (await here.call(room="lobby", region="frankfurt")).json()["edge"] == "edge-f"
