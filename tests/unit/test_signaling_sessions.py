"""Sessions over HTTP: a real Valkey and real gRPC, with a double for the edge behind it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from antiphon.cluster import Cluster
from antiphon.signaling import edges as edges_module
from tests.support.edge_double import ANSWER, EdgeDouble, Refusal, serving
from tests.support.members import edge, kept, worker
from tests.support.signaling import FRAGMENT, OFFER, SDP, signaling
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from antiphon.cluster.embedded import EmbeddedValkey

VIRGINIA = {"region": "virginia", "latitude": 38.95, "longitude": -77.45}
RESTART = "a=ice-ufrag:wxyz\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
CANDIDATE = "a=ice-ufrag:abcd\r\na=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\n"


class Site:
    """Two edges in two regions, a worker, and signaling."""

    def __init__(self, http: httpx.AsyncClient, cluster: Cluster, frankfurt: EdgeDouble, virginia: EdgeDouble) -> None:
        self.http = http
        self.cluster = cluster
        self.frankfurt = frankfurt
        self.virginia = virginia

    async def call(self, **query: str) -> httpx.Response:
        reply = await self.http.post("/v1/sessions", params=query, content=OFFER, headers=SDP)
        assert reply.status_code == 201, reply.text
        return reply

    async def taken(self) -> dict[str, int]:
        return {one.id: one.sessions for one in await self.cluster.edges()}

    async def nothing_taken(self) -> bool:
        return set((await self.taken()).values()) == {0}


@asynccontextmanager
async def site(valkey: EmbeddedValkey, **sections: Any) -> AsyncIterator[Site]:
    client = sections.pop("client", ("127.0.0.1", 50000))
    frankfurt, virginia = EdgeDouble(), EdgeDouble()
    async with (
        serving(frankfurt) as first,
        serving(virginia) as second,
        Cluster(valkey.url) as cluster,
        kept(cluster, edge("edge-f", control=first), edge("edge-v", control=second, **VIRGINIA), worker()),
        signaling(valkey, client, **sections) as http,
    ):
        yield Site(http, cluster, frankfurt, virginia)


async def test_an_offer_in_sdp_is_answered_in_sdp(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        reply = await here.call(agent="echo", region="virginia", dcid="0")
        assert reply.text == ANSWER
        assert reply.headers["content-type"] == "application/sdp"
        asked = here.virginia.opened[0]
        assert (asked.offer, asked.agent, asked.worker, asked.worker_address, asked.caller) == (
            OFFER,
            "echo",
            "worker-a",
            "127.0.0.1:4100",
            "127.0.0.1",
        )
        assert asked.HasField("data_channel")
        assert asked.data_channel == 0
        assert reply.headers["location"] == f"/v1/sessions/{asked.session}"
        assert asked.session.startswith("ses_virginia_")
        assert reply.headers["etag"] == f'"AAe1/{asked.epoch}"'


async def test_an_offer_in_json_is_answered_in_json_with_the_reasons(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        reply = await here.http.post("/v1/sessions", json={"sdp": OFFER, "region": "virginia", "metadata": {"a": [1]}})
        assert reply.status_code == 201
        told = reply.json()
        assert (told["sdp"], told["agent"], told["edge"], told["region"], told["worker"]) == (
            ANSWER,
            "parrot",
            "edge-v",
            "virginia",
            "worker-a",
        )
        assert told["placement"]["caller"] == "region virginia asked for"
        assert [one["id"] for one in told["placement"]["edges"] if one["chosen"]] == ["edge-v"]
        assert all(one["why"] for one in told["placement"]["edges"] + told["placement"]["workers"])
        assert here.virginia.opened[0].metadata == '{"a": [1]}'
        assert not here.virginia.opened[0].HasField("data_channel")


async def test_the_list_tells_of_live_quality_and_asks_each_edge_once(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        made = [
            (await here.call(region=region)).headers["location"] for region in ("frankfurt", "frankfurt", "virginia")
        ]
        ids = [path.rsplit("/", 1)[1] for path in made]
        here.virginia.refusal = Refusal(grpc.StatusCode.INTERNAL, "internal", "out of order")
        told = {one["id"]: one for one in (await here.http.get("/v1/sessions?live=true")).json()["sessions"]}
        assert [told[one]["state"] for one in ids] == ["connected", "connected", "live"]
        assert [told[one]["quality"].get("rtt_ms") for one in ids] == [12.5, 12.5, None]
        assert [set(asked) for asked in here.frankfurt.looked_at] == [set(ids[:2])]
        here.virginia.refusal = None
        await here.http.delete(made[0])
        told = {one["id"]: one for one in (await here.http.get("/v1/sessions")).json()["sessions"]}
        assert [told[one]["state"] for one in ids] == ["ended", "connected", "connected"]
        assert here.frankfurt.looked_at[1:] == [[ids[1]]]


async def test_a_session_can_be_looked_at_while_it_lives_and_afterwards(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        made = await here.call()
        path = made.headers["location"]
        reply = await here.http.get(path)
        told = reply.json()
        assert (told["state"], told["edge"], told["agent"]) == ("connected", "edge-f", "parrot")
        assert told["setup_us"] == {"dtls": 31000}
        assert told["quality"]["rtt_ms"] == 12.5
        assert reply.headers["etag"] == made.headers["etag"]
        assert [one["id"] for one in (await here.http.get("/v1/sessions?live=true")).json()["sessions"]] == [told["id"]]

        outcome = {"reason": "bye", "setup_us": {"dtls": 1}, "quality": {"lost": 2}}
        await here.cluster.session(told["id"]).release(told["epoch"], outcome)
        told = (await here.http.get(path)).json()
        assert (told["state"], told["reason"], told["setup_us"], told["quality"]) == (
            "ended",
            "bye",
            {"dtls": 1},
            {"lost": 2.0},
        )
        assert (await here.http.get("/v1/sessions?live=true")).json()["sessions"] == []
        assert len((await here.http.get("/v1/sessions")).json()["sessions"]) == 1


async def test_a_session_whose_edge_is_out_of_reach_is_told_from_its_record(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        path = (await here.call()).headers["location"]
        here.frankfurt.live.clear()
        assert (await here.http.get(path)).json()["state"] == "live"


async def test_delete_ends_a_session_at_its_edge_and_may_be_repeated(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        path = (await here.call()).headers["location"]
        assert (await here.http.delete(path)).status_code == 204
        assert here.frankfurt.closed[0].reason == "api"
        told = (await here.http.get(path)).json()
        assert (told["state"], told["reason"]) == ("ended", "api")
        assert (await here.http.delete(path)).status_code == 204
        assert await here.nothing_taken()


async def test_deleting_does_not_overwrite_what_the_edge_told_of_the_end(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        made = await here.call()
        session = made.headers["location"].rsplit("/", 1)[1]
        record = await here.cluster.session(session).record()
        assert record is not None
        await here.cluster.session(session).release(record.epoch, {"reason": "hangup"})
        await here.http.delete(made.headers["location"])
        assert (await here.http.get(made.headers["location"])).json()["reason"] == "hangup"


@pytest.mark.parametrize("by", ["*", "etag"])
async def test_an_ice_restart_gives_new_credentials_and_a_new_etag(valkey: EmbeddedValkey, by: str) -> None:
    async with site(valkey) as here:
        made = await here.call()
        match = by if by == "*" else made.headers["etag"]
        reply = await here.http.patch(
            made.headers["location"], content=RESTART, headers={**FRAGMENT, "If-Match": match}
        )
        assert reply.status_code == 200
        assert reply.text.startswith("a=ice-ufrag:AAr1")
        assert reply.headers["content-type"] == "application/trickle-ice-sdpfrag"
        assert reply.headers["etag"] != made.headers["etag"]
        assert here.frankfurt.restarted[0].sdpfrag == RESTART
        again = await here.http.patch(
            made.headers["location"], content=RESTART, headers={**FRAGMENT, "If-Match": made.headers["etag"]}
        )
        assert again.status_code == 412


async def test_trickled_candidates_are_taken_note_of(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        made = await here.call()
        for headers in ({}, {"If-Match": made.headers["etag"]}):
            reply = await here.http.patch(made.headers["location"], content=CANDIDATE, headers={**FRAGMENT, **headers})
            assert (reply.status_code, reply.content) == (204, b"")
        assert here.frankfurt.restarted == []


async def test_patches_that_cannot_be_done_say_why(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        path = (await here.call()).headers["location"]

        async def patch(body: str, **headers: str) -> tuple[int, str]:
            reply = await here.http.patch(path, content=body, headers={**FRAGMENT, **headers})
            return reply.status_code, reply.json()["code"]

        assert await patch(RESTART) == (428, "precondition_required")
        assert await patch(RESTART, **{"If-Match": '"other/1"'}) == (412, "precondition_failed")
        assert await patch("a=mid:0\r\n") == (400, "bad_request")
        assert await patch(RESTART, **{"Content-Type": "application/sdp"}) == (415, "unsupported_media_type")
        here.frankfurt.refusal = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "bad_request", "no a=ice-pwd")
        assert await patch(RESTART, **{"If-Match": "*"}) == (400, "bad_request")
        here.frankfurt.refusal = Refusal(grpc.StatusCode.ABORTED, "stale_epoch", "moved on")
        assert await patch(RESTART, **{"If-Match": "*"}) == (409, "stale_epoch")
        here.frankfurt.refusal = None
        here.frankfurt.live.clear()
        assert await patch(RESTART, **{"If-Match": "*"}) == (404, "unknown_session")
        await here.http.delete(path)
        assert await patch(RESTART, **{"If-Match": "*"}) == (404, "unknown_session")


async def test_an_edges_verdict_on_an_offer_reaches_the_caller_with_its_line(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        here.frankfurt.refusal = Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "bad_offer",
            "no fingerprint",
            {"line": "7", "expected": "a=fingerprint:sha-256 ..."},
        )
        reply = await here.http.post("/v1/sessions", content=OFFER, headers=SDP)
        told = reply.json()
        assert (reply.status_code, told["code"], told["line"]) == (400, "bad_offer", 7)
        assert told["detail"] == "line 7: no fingerprint; expected a=fingerprint:sha-256 ..."
        assert here.virginia.opened == [], "another edge would say the same"
        await until(here.nothing_taken)


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "no_room", "full after all"),
        Refusal(grpc.StatusCode.UNAVAILABLE, "draining", "stopping"),
        Refusal(grpc.StatusCode.INTERNAL, "internal", "broken"),
    ],
)
async def test_another_edge_is_asked_when_the_chosen_one_refuses(valkey: EmbeddedValkey, refusal: Refusal) -> None:
    async with site(valkey) as here:
        here.frankfurt.refusal = refusal
        reply = await here.http.post("/v1/sessions", json={"sdp": OFFER})
        told = reply.json()
        assert (reply.status_code, told["edge"]) == (201, "edge-v")
        refused = next(one for one in told["placement"]["edges"] if one["id"] == "edge-f")
        assert refused["why"].startswith(refusal.reason.replace("_", " "))
        assert told["id"].startswith("ses_virginia_")

        async def only_virginia() -> bool:
            return await here.taken() == {"edge-f": 0, "edge-v": 1}

        await until(only_virginia)


async def test_another_edge_is_asked_when_the_chosen_one_is_out_of_reach(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here, kept(here.cluster, edge("edge-a", control="127.0.0.1:1")):
        reply = await here.http.post("/v1/sessions", json={"sdp": OFFER})
        assert (reply.status_code, reply.json()["edge"]) == (201, "edge-f")


async def test_another_worker_is_taken_when_the_edge_cannot_reach_the_chosen_one(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here, kept(here.cluster, worker("worker-b", sessions=5)):
        here.frankfurt.unreachable_worker = "worker-a"
        told = (await here.http.post("/v1/sessions", json={"sdp": OFFER})).json()
        assert (told["edge"], told["worker"]) == ("edge-f", "worker-b")
        why = {one["id"]: one["why"] for one in told["placement"]["workers"]}
        assert why["worker-a"].startswith("out of the edge's reach")


async def test_an_edge_that_answers_too_late_is_told_to_let_go(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges_module, "OPEN_S", 0.1)
    async with site(valkey) as here:
        here.frankfurt.delay_s = 0.3
        reply = await here.http.post("/v1/sessions", json={"sdp": OFFER})
        assert (reply.status_code, reply.json()["edge"]) == (201, "edge-v")
        await until(lambda: here.frankfurt.closed)
        assert here.frankfurt.closed[0].session == here.frankfurt.opened[0].session


async def test_when_all_edges_refuse_the_caller_may_try_later(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        here.frankfurt.refusal = here.virginia.refusal = Refusal(grpc.StatusCode.UNAVAILABLE, "draining", "stopping")
        reply = await here.http.post("/v1/sessions", content=OFFER, headers=SDP)
        assert (reply.status_code, reply.json()["code"]) == (503, "no_edge")
        assert int(reply.headers["retry-after"]) >= 1
        await until(here.nothing_taken)
        here.frankfurt.refusal = here.virginia.refusal = Refusal(grpc.StatusCode.UNAVAILABLE, "link_down", "no link")
        reply = await here.http.post("/v1/sessions", content=OFFER, headers=SDP)
        assert (reply.status_code, reply.json()["code"]) == (503, "no_worker")


async def test_a_full_region_hands_over_to_the_next(valkey: EmbeddedValkey) -> None:
    double = EdgeDouble()
    async with (
        serving(double) as address,
        Cluster(valkey.url) as cluster,
        kept(
            cluster,
            edge("edge-f", control=address, capacity=1),
            edge("edge-v", control=address, capacity=1, **VIRGINIA),
            worker(),
        ),
        signaling(valkey) as http,
    ):
        replies = await asyncio.gather(*(http.post("/v1/sessions", json={"sdp": OFFER}) for _ in range(4)))
        placed = sorted(reply.json()["edge"] for reply in replies if reply.status_code == 201)
        assert placed == ["edge-f", "edge-v"]
        assert {reply.json()["code"] for reply in replies if reply.status_code != 201} == {"no_edge"}


async def test_without_edge_or_worker_or_agent_the_answer_says_so(valkey: EmbeddedValkey) -> None:
    async def ask(http: httpx.AsyncClient, **query: str) -> tuple[int, str, bool]:
        reply = await http.post("/v1/sessions", params=query, content=OFFER, headers=SDP)
        return reply.status_code, reply.json()["code"], "retry-after" in reply.headers

    async with Cluster(valkey.url) as cluster, signaling(valkey) as http:
        assert await ask(http) == (503, "no_worker", True)
        async with kept(cluster, worker(capacity=1)):
            assert await ask(http) == (503, "no_edge", True)
            assert await ask(http, agent="nobody") == (404, "unknown_agent", False)
            async with kept(cluster, edge("edge-d", draining=True)):
                assert await ask(http) == (503, "no_edge", True)
        async with kept(cluster, worker(sessions=100)):
            assert await ask(http) == (503, "no_worker", True)


async def test_callers_are_placed_by_geoip_behind_a_trusted_proxy(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    writer = MMDBWriter(database_type="GeoLite2-City")
    place = {"location": {"latitude": 38.9, "longitude": -77.0}, "country": {"iso_code": "US"}}
    writer.insert_network(IPSet(["198.51.100.0/24"]), place)
    database = tmp_path / "city.mmdb"
    writer.to_db_file(str(database))
    geoip = {"city_database": database, "trusted_proxies": ["10.0.0.0/8"]}
    async with site(valkey, client=("10.0.0.9", 1), signaling={"geoip": geoip}) as here:
        near = await here.http.post("/v1/sessions", json={"sdp": OFFER}, headers={"X-Forwarded-For": "198.51.100.7"})
        assert (near.json()["edge"], near.json()["placement"]["caller"]) == ("edge-v", "GeoIP says US")
        assert here.virginia.opened[0].caller == "198.51.100.7"
        unknown = await here.http.post("/v1/sessions", json={"sdp": OFFER})
        assert unknown.json()["edge"] == "edge-f"


async def test_a_loss_of_redis_is_told_and_gets_over(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        assert (await here.http.get("/readyz")).status_code == 200
        await valkey.kill()
        reply = await here.http.post("/v1/sessions", content=OFFER, headers=SDP)
        assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
        assert "retry-after" in reply.headers
        assert (await here.http.get("/v1/edges")).status_code == 503
        assert (await here.http.get("/readyz")).status_code == 503
        assert (await here.http.get("/livez")).status_code == 200
        await valkey.start()

        async def placed() -> bool:
            reply = await here.http.post("/v1/sessions", content=OFFER, headers=SDP)
            return reply.status_code == 201

        await until(placed)


async def test_turns_of_a_session_are_told_the_oldest_first(valkey: EmbeddedValkey) -> None:
    stages = [{"stage": "received", "at_ms": 31.0, "took_ms": 31.0}]
    turn = {
        "turn": 1, "outcome": "silent", "started_ms": 0.0, "ended_ms": 900.0, "ended_by": "silence",
        "probability": None,        "response_ms": None, "played_by": None, "stages": stages, "marks": {"mine": 4.5},
    }  # fmt: skip
    async with site(valkey) as here:
        id_ = (await here.call()).headers["location"].rpartition("/")[2]
        assert (await here.http.get(f"/v1/sessions/{id_}/turns")).json() == {
            "session": id_,
            "turns": [],
            "next": None,
        }
        await here.cluster.session(id_).note_turns([turn, {**turn, "turn": 2}])
        await here.cluster.session(id_).note_turns([{**turn, "turn": number} for number in range(3, 204)])
        told = (await here.http.get(f"/v1/sessions/{id_}/turns")).json()["turns"]
        assert [one["turn"] for one in told] == list(range(4, 204)), "the last 200"
        assert told[0] == {**turn, "turn": 4}
        unknown = await here.http.get("/v1/sessions/ses_frankfurt_00000000000000000000/turns")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_session")
