"""Rooms over HTTP: a real Valkey and real gRPC, with a double for the edge behind it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from antiphon.cluster import NO_WORKER, Cluster
from antiphon.errors import RoomSettledError
from antiphon.wire.control.v1 import edge_pb2
from tests.support.members import edge, kept, worker
from tests.support.signaling import OFFER, SDP
from tests.unit.test_signaling_sessions import Site, site

if TYPE_CHECKING:
    from antiphon.cluster.embedded import EmbeddedValkey

JSON = {"Content-Type": "application/json"}


async def joined(here: Site, room: str, **query: str) -> dict[str, Any]:
    reply = await here.http.post("/v1/sessions", json={"sdp": OFFER, "room": room, **query})
    assert reply.status_code == 201, reply.text
    told: dict[str, Any] = reply.json()
    return told


async def test_members_of_a_room_land_on_its_first_ones_edge(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        first = await joined(here, "kitchen", region="virginia")
        second = await joined(here, "kitchen", region="frankfurt")
        assert (first["edge"], second["edge"]) == ("edge-v", "edge-v")
        assert second["id"].startswith("ses_virginia_")
        assert (second["room"], second["agent"], second["worker"]) == ("kitchen", "", "")
        assert [(one.room, one.agent, one.worker) for one in here.virginia.opened] == [("kitchen", "", "")] * 2
        record = (await here.http.get(f"/v1/sessions/{second['id']}")).json()
        assert record["room"] == "kitchen"


async def test_a_rooms_agent_is_its_first_members(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        first = await joined(here, "r", agent="parrot")
        second = await joined(here, "r")
        assert (second["agent"], second["worker"]) == ("parrot", first["worker"])
        third = await here.http.post("/v1/sessions?room=r&agent=echo", content=OFFER, headers=SDP)
        assert (third.status_code, third.json()["code"]) == (409, "room_conflict")
        assert "parrot" in third.json()["detail"]


async def test_a_room_is_over_with_its_last_member(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        first = await joined(here, "r", agent="parrot", region="virginia")
        await here.http.delete(f"/v1/sessions/{first['id']}")
        assert (await here.http.get("/v1/rooms/r")).json()["code"] == "unknown_room"
        second = await joined(here, "r", agent="echo", region="frankfurt")
        assert (second["edge"], second["agent"]) == ("edge-f", "echo")


async def test_names_that_are_none_are_refused(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        for name in ("", "a room", "ä", "x" * 65, "../up"):
            reply = await here.http.post("/v1/sessions", json={"sdp": OFFER, "room": name})
            assert reply.status_code == 400, name
            assert reply.json()["field"] == "room"


async def test_a_room_tells_its_members_and_who_is_joining(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        first, second = await joined(here, "r"), await joined(here, "r")
        edge_of = {"edge-f": here.frankfurt, "edge-v": here.virginia}[first["edge"]]
        edge_of.rooms["r"] = [edge_pb2.Member(session=first["id"], speaking=True)]
        told = (await here.http.get("/v1/rooms/r")).json()
        assert told["members"] == [
            {"session": first["id"], "muted": False, "speaking": True, "hears": "all", "hearing": []}
        ]
        assert told["joining"] == [second["id"]]
        listed = (await here.http.get("/v1/rooms")).json()["rooms"]
        assert listed == [told]


async def test_a_member_is_muted_and_chooses_whom_it_hears(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        first, second = await joined(here, "r"), await joined(here, "r")
        edge_of = {"edge-f": here.frankfurt, "edge-v": here.virginia}[first["edge"]]
        edge_of.rooms["r"] = [edge_pb2.Member(session=one["id"]) for one in (first, second)]
        path = f"/v1/rooms/r/members/{first['id']}"
        reply = await here.http.patch(path, json={"muted": True, "hears": [second["id"]]})
        assert (reply.status_code, reply.json()["muted"], reply.json()["hears"]) == (200, True, [second["id"]])
        reply = await here.http.patch(path, json={"hears": "all"})
        assert (reply.json()["muted"], reply.json()["hears"]) == (True, "all")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{}", "nothing is to change"),
        ('{"muted": "loud"}', "muted"),
        ('{"hears": "nobody"}', "hears"),
        ('{"deaf": true}', "deaf"),
        ("no JSON", "JSON"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused_in_words(valkey: EmbeddedValkey, body: str, words: str) -> None:
    async with site(valkey) as here:
        first = await joined(here, "r")
        reply = await here.http.patch(f"/v1/rooms/r/members/{first['id']}", content=body, headers=JSON)
        assert reply.status_code == 400
        assert words in reply.json()["detail"]


async def test_who_is_not_in_the_room_is_not_found(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        elsewhere = await joined(here, "other")
        await joined(here, "r")
        for session in (elsewhere["id"], "ses_x_y"):
            for reply in (
                await here.http.patch(f"/v1/rooms/r/members/{session}", json={"muted": True}),
                await here.http.delete(f"/v1/rooms/r/members/{session}"),
            ):
                assert (reply.status_code, reply.json()["code"]) == (404, "unknown_session")
        assert (await here.http.get("/v1/rooms/nowhere")).status_code == 404


async def test_a_member_can_be_sent_away(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        first, second = await joined(here, "r"), await joined(here, "r")
        assert (await here.http.delete(f"/v1/rooms/r/members/{first['id']}")).status_code == 204
        assert (await here.http.get(f"/v1/sessions/{first['id']}")).json()["state"] == "ended"
        assert (await here.http.get("/v1/rooms/r")).json()["joining"] == [second["id"]]


async def test_of_twenty_first_members_one_settles_the_room(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        regions = ("frankfurt", "virginia")
        placed = await asyncio.gather(*(joined(here, "rush", region=regions[at % 2]) for at in range(20)))
        assert len({one["edge"] for one in placed}) == 1


async def test_a_claim_that_goes_elsewhere_than_its_room_is_refused(valkey: EmbeddedValkey) -> None:
    async with Cluster(valkey.url) as cluster, kept(cluster, edge("edge-a"), edge("edge-b"), worker()):
        first = await cluster.claim("ses_1", agent="", edges=["edge-a"], workers=[], room="r")
        assert first.worker == NO_WORKER
        with pytest.raises(RoomSettledError):
            await cluster.claim("ses_2", agent="", edges=["edge-b"], workers=[], room="r")
        with pytest.raises(RoomSettledError):
            await cluster.claim("ses_2", agent="parrot", edges=["edge-a"], workers=["worker-a"], room="r")
        await cluster.claim("ses_2", agent="", edges=["edge-a"], workers=[], room="r")
        room = await cluster.room("r")
        assert room is not None
        assert (room.edge, room.agent, set(room.sessions)) == ("edge-a", "", {"ses_1", "ses_2"})
        assert [one.name for one in await cluster.rooms()] == ["r"]
        await cluster.session("ses_1").release(first.epoch)
        room = await cluster.room("r")
        assert room is not None
        assert room.sessions == ("ses_2",)


async def test_a_room_on_an_edge_that_died_begins_anew_elsewhere(valkey: EmbeddedValkey) -> None:
    async with Cluster(valkey.url) as cluster, kept(cluster, edge("edge-b"), worker()):
        async with kept(cluster, edge("edge-a")):
            await cluster.claim("ses_1", agent="", edges=["edge-a"], workers=[], room="r")
        assert await cluster.room("r") is None
        assert (await cluster.claim("ses_2", agent="", edges=["edge-b"], workers=[], room="r")).edge.id == "edge-b"


async def test_a_room_without_room_for_another_says_so(valkey: EmbeddedValkey) -> None:
    tiny = edge("edge-tiny", region="tiny", capacity=1, control="127.0.0.1:9")
    async with site(valkey) as here, kept(here.cluster, tiny):
        await here.cluster.claim("ses_tiny_1", agent="", edges=["edge-tiny"], workers=[], room="r")
        reply = await here.http.post("/v1/sessions", json={"sdp": OFFER, "room": "r"})
        assert (reply.status_code, reply.json()["code"]) == (503, "no_edge")
        assert "room r is on edge edge-tiny" in reply.json()["detail"]
        assert "Retry-After" in reply.headers
