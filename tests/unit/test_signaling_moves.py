"""Sessions that come to another edge, over HTTP: a real Valkey and real gRPC, with doubles for the edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from redis.asyncio import Redis

from tests.support.edge_double import ANSWER, Refusal
from tests.support.members import kept, worker
from tests.support.signaling import OFFER
from tests.support.tokens import AUTH, by_key, by_token, token_of
from tests.support.wait import until
from tests.unit.test_signaling_sessions import Site, site

if TYPE_CHECKING:
    import httpx

    from antiphon.cluster.embedded import EmbeddedValkey


async def called(here: Site, **body: Any) -> dict[str, Any]:
    reply = await here.http.post("/v1/sessions", json={"sdp": OFFER, "region": "frankfurt", **body})
    assert reply.status_code == 201, reply.text
    told: dict[str, Any] = reply.json()
    return told


async def moved(here: Site, session: str, **body: Any) -> httpx.Response:
    return await here.http.post(f"/v1/sessions/{session}:move", json={"sdp": OFFER, **body})


async def test_a_session_whose_edge_is_lost_goes_on_at_another_with_its_worker(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here, kept(here.cluster, worker("worker-b")):
        before = await called(here, metadata={"name": "Ada"}, agent="echo")
        reply = await moved(here, before["id"], lost=["edge-f"])
        assert reply.status_code == 200, reply.text
        after = reply.json()
        assert (after["id"], after["edge"], after["worker"], after["sdp"]) == (
            before["id"],
            "edge-v",
            before["worker"],
            ANSWER,
        )
        assert after["epoch"] > before["epoch"]
        opened = here.virginia.opened[0]
        assert (opened.session, opened.epoch, opened.agent, opened.metadata) == (
            before["id"],
            after["epoch"],
            "echo",
            '{"name": "Ada"}',
        )
        why = {one["id"]: one["why"] for one in after["placement"]["edges"]}
        assert why["edge-f"].startswith("lost to the caller")
        looked = (await here.http.get(f"/v1/sessions/{before['id']}")).json()
        assert (looked["edge"], looked["epoch"]) == ("edge-v", after["epoch"])
        assert before["id"] in here.frankfurt.live, "the old edge keeps it until the caller has left"


async def test_a_session_leaves_an_edge_that_drains_though_its_worker_is_full(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here, kept(here.cluster, worker("worker-0", agents=("solo",), capacity=1)):
        before = await called(here, agent="solo")
        await here.cluster.drain("edge", "edge-f", 60)
        after = (await moved(here, before["id"])).json()
        assert (after["edge"], after["worker"]) == ("edge-v", "worker-0")


async def test_a_session_whose_worker_is_lost_gets_another(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here, kept(here.cluster, worker("worker-b")):
        before = await called(here)
        after = (await moved(here, before["id"], lost=[before["worker"]], turns={"eagerness": "low"})).json()
        assert "low" in here.frankfurt.opened[-1].metadata, "the other worker knows how turns are taken"
        assert after["worker"] == ({"worker-a", "worker-b"} - {before["worker"]}).pop()
        assert after["id"] == before["id"]


async def test_a_move_that_no_edge_takes_leaves_the_session_where_it_is(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        before = await called(here)
        here.virginia.refusal = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "no_room", "no place left")
        reply = await moved(here, before["id"], lost=["edge-f"])
        assert (reply.status_code, reply.json()["code"]) == (503, "no_edge")
        assert int(reply.headers["retry-after"]) >= 1
        looked = (await here.http.get(f"/v1/sessions/{before['id']}")).json()
        assert (looked["edge"], looked["epoch"], looked["state"]) == ("edge-f", before["epoch"], "connected")
        await until(lambda: _taken(here, {"edge-f": 1, "edge-v": 0}))
        here.virginia.refusal = None
        assert (await moved(here, before["id"], lost=["edge-f"])).json()["edge"] == "edge-v"


async def _taken(here: Site, wanted: dict[str, int]) -> bool:
    return await here.taken() == wanted


async def test_a_record_that_was_lost_is_made_anew_with_what_the_caller_knows(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        before = await called(here)
        async with Redis.from_url(valkey.url) as redis:
            await redis.flushall()
        await until(lambda: _taken(here, {"edge-f": 0, "edge-v": 0}))
        assert (await moved(here, before["id"])).status_code == 404
        await here.cluster.common._functions.call(
            "hold", "edge", "edge-f", "frankfurt", 15_000, 60_000, before["id"], before["epoch"]
        )
        reply = await moved(here, before["id"], lost=["edge-f"])
        assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")
        reply = await moved(here, before["id"], lost=["edge-f"], agent="nobody")
        assert (reply.status_code, reply.json()["code"]) == (404, "unknown_agent")
        reply = await moved(here, before["id"], lost=["edge-f"], agent="echo", metadata={"name": "Ada"})
        assert reply.json()["epoch"] > before["epoch"]
        assert here.virginia.opened[0].metadata == '{"name": "Ada"}'


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"sdp": ""}, 400, "bad_request"),
        ({"lost": ["edge-f"]}, 400, "bad_request"),
        ({"sdp": OFFER, "lost": [""]}, 400, "bad_request"),
        ({"sdp": OFFER, "lost": ["e"] * 9}, 400, "bad_request"),
        ({"sdp": OFFER, "room": "kitchen"}, 400, "bad_request"),
        ({"sdp": OFFER, "lost": ["edge-f", "edge-v"]}, 503, "no_edge"),
    ],
)
async def test_what_cannot_be_done_is_told(
    valkey: EmbeddedValkey, body: dict[str, Any], status: int, code: str
) -> None:
    async with site(valkey) as here:
        before = await called(here)
        reply = await here.http.post(f"/v1/sessions/{before['id']}:move", json=body)
        assert (reply.status_code, reply.json()["code"]) == (status, code)


async def test_who_has_ended_or_is_unknown_does_not_move(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        over = await called(here)
        await here.http.delete(f"/v1/sessions/{over['id']}")
        for session, status, code in (
            (over["id"], 404, "unknown_session"),
            ("ses_frankfurt_" + "z" * 20, 404, "unknown_session"),
        ):
            reply = await moved(here, session)
            assert (reply.status_code, reply.json()["code"]) == (status, code)


async def test_only_who_may_see_a_session_moves_it_and_it_stays_whose_it_is(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        owner = by_token(token_of("acme", agent="echo"))
        wish = {"sdp": OFFER, "agent": "echo", "region": "frankfurt"}
        before = (await here.http.post("/v1/sessions", json=wish, headers=owner)).json()
        path, body = f"/v1/sessions/{before['id']}:move", {"sdp": OFFER, "lost": ["edge-f"]}
        for stranger in (by_key("globex"), by_token(token_of("acme", subject="another", agent="echo"))):
            reply = await here.http.post(path, json=body, headers=stranger)
            assert (reply.status_code, reply.json()["code"]) == (404, "unknown_session")
        assert (await here.http.post(path, json=body)).status_code == 401
        reply = await here.http.post(path, json=body, headers=owner)
        assert reply.status_code == 200, reply.text
        first, second = here.frankfurt.opened[0], here.virginia.opened[0]
        assert (second.project, second.owner) == (first.project, first.owner) != ("", "")
        assert (await here.http.get(f"/v1/sessions/{before['id']}", headers=owner)).json()["edge"] == "edge-v"
