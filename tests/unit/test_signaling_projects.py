"""Projects: what belongs to one is not there for another, whoever asks, and however it is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from antiphon.cluster import Cluster
from antiphon.wire.control.v1 import edge_pb2
from tests.support.edge_double import EdgeDouble, serving
from tests.support.members import edge, kept, worker
from tests.support.signaling import FRAGMENT, OFFER, SDP, signaling
from tests.support.tokens import AUTH, SECRETS, by_key, by_token, token_of
from tests.support.wait import until
from tests.unit.test_signaling_sessions import RESTART, Site, site

if TYPE_CHECKING:
    import httpx

    from antiphon.cluster.embedded import EmbeddedValkey

ACME, GLOBEX = by_key("acme"), by_key("globex")


async def called(here: Site, who: dict[str, str], **wish: Any) -> dict[str, Any]:
    reply = await here.http.post("/v1/sessions", json={"sdp": OFFER, **wish}, headers=who)
    assert reply.status_code == 201, reply.text
    told: dict[str, Any] = reply.json()
    return told


async def listed(here: Site, who: dict[str, str], query: str = "") -> list[str]:
    return [one["id"] for one in (await here.http.get(f"/v1/sessions{query}", headers=who)).json()["sessions"]]


async def test_another_projects_session_is_not_there(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        mine = (await called(here, ACME, room="kitchen"))["id"]

        async def all_ways(who: dict[str, str]) -> list[httpx.Response]:
            path, member = f"/v1/sessions/{mine}", f"/v1/rooms/kitchen/members/{mine}"
            match = {"If-Match": "*"}
            return [
                await here.http.get(path, headers=who),
                await here.http.get(f"{path}/turns", headers=who),
                await here.http.patch(path, content=RESTART, headers=who | FRAGMENT | match),
                await here.http.patch(member, json={"muted": True}, headers=who),
                await here.http.delete(member, headers=who),
                await here.http.delete(path, headers=who),
            ]

        for reply in await all_ways(GLOBEX):
            assert (reply.status_code, reply.json()["code"]) in {(404, "unknown_session"), (404, "unknown_room")}
        absent = mine[:-20] + "0" * 20
        same = await here.http.get(f"/v1/sessions/{absent}", headers=GLOBEX)
        other = await here.http.get(f"/v1/sessions/{mine}", headers=GLOBEX)
        assert other.json()["detail"].replace(mine, absent) == same.json()["detail"], "nothing tells that it exists"
        edges = {"edge-f": here.frankfurt, "edge-v": here.virginia}
        record = (await here.http.get(f"/v1/sessions/{mine}", headers=by_key("acme-new"))).json()
        edges[record["edge"]].rooms["acme/kitchen"] = [edge_pb2.Member(session=mine)]
        assert [reply.status_code for reply in await all_ways(by_key("acme-new"))] == [200, 200, 200, 200, 204, 204]


async def test_lists_hold_what_is_the_projects_own(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        first, second = [(await called(here, ACME, room="kitchen"))["id"] for _ in range(2)]
        other = (await called(here, GLOBEX, room="kitchen"))["id"]
        await here.http.delete(f"/v1/sessions/{first}", headers=ACME)
        assert await listed(here, ACME) == [second, first]
        assert await listed(here, ACME, "?live=true") == [second]
        assert await listed(here, ACME, "?limit=1") == [second]
        assert await listed(here, GLOBEX) == await listed(here, GLOBEX, "?live=true") == [other]
        rooms = (await here.http.get("/v1/rooms", headers=ACME)).json()["rooms"]
        assert [(room["name"], room["joining"]) for room in rooms] == [("kitchen", [second])]


async def test_rooms_of_one_name_are_two(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        ours = await called(here, ACME, room="kitchen", agent="parrot", region="frankfurt")
        theirs = await called(here, GLOBEX, room="kitchen", agent="echo", region="virginia")
        assert (ours["edge"], theirs["edge"]) == ("edge-f", "edge-v")
        assert [one.room for one in here.frankfurt.opened + here.virginia.opened] == ["acme/kitchen", "globex/kitchen"]
        assert (ours["room"], theirs["room"]) == ("kitchen", "kitchen")
        record = (await here.http.get(f"/v1/sessions/{ours['id']}", headers=ACME)).json()
        assert record["room"] == "kitchen"
        conflict = await here.http.post(
            "/v1/sessions", json={"sdp": OFFER, "room": "kitchen", "agent": "echo"}, headers=ACME
        )
        assert conflict.json()["code"] == "room_conflict"
        assert "acme/" not in conflict.json()["detail"]


async def test_agents_of_a_projects_workers_are_its_own(valkey: EmbeddedValkey) -> None:
    own = worker("worker-acme", agents=("secretary",), projects=("acme",))
    async with site(valkey, auth=AUTH) as here, kept(here.cluster, own):

        async def names(who: dict[str, str]) -> tuple[list[str], list[str]]:
            agents = (await here.http.get("/v1/agents", headers=who)).json()["agents"]
            workers = (await here.http.get("/v1/workers", headers=who)).json()["workers"]
            return [one["name"] for one in agents], [one["id"] for one in workers]

        assert await names(ACME) == (["echo", "parrot", "secretary"], ["worker-a", "worker-acme"])
        assert await names(GLOBEX) == (["echo", "parrot"], ["worker-a"])
        assert (await called(here, ACME, agent="secretary"))["worker"] == "worker-acme"
        reply = await here.http.post("/v1/sessions?agent=secretary", content=OFFER, headers=SDP | GLOBEX)
        assert (reply.status_code, reply.json()["code"]) == (404, "unknown_agent")
        assert "secretary" not in reply.json()["detail"].partition("known agents")[2]


@pytest.mark.parametrize("quota", [0, 3])
async def test_a_project_has_no_more_sessions_than_its_quota(valkey: EmbeddedValkey, quota: int) -> None:
    limits = {"sessions_per_project": 50, "projects": {"acme": quota}}
    async with site(valkey, auth={**AUTH, "limits": limits}) as here:
        body = {"sdp": OFFER}
        replies = await asyncio.gather(
            *(here.http.post("/v1/sessions", json=body, headers=ACME) for _ in range(quota + 5))
        )
        placed = [reply.json()["id"] for reply in replies if reply.status_code == 201]
        refused = [reply for reply in replies if reply.status_code != 201]
        assert len(placed) == quota
        assert {(reply.status_code, reply.json()["code"]) for reply in refused} == {(429, "over_quota")}
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
        await called(here, GLOBEX)
        if placed:
            await here.http.delete(f"/v1/sessions/{placed[0]}", headers=ACME)
            await called(here, ACME)


async def test_a_token_s_bearer_has_what_its_subject_made(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        ann, bob = by_token(token_of(subject="ann", agent="*")), by_token(token_of(subject="bob", agent="*"))
        hers = (await called(here, ann))["id"]
        the_keys = (await called(here, ACME))["id"]
        assert await listed(here, ann) == await listed(here, ann, "?live=true") == [hers]
        assert await listed(here, bob) == []
        assert await listed(here, ACME) == [the_keys, hers]
        for who, session in ((bob, hers), (ann, the_keys)):
            assert (await here.http.get(f"/v1/sessions/{session}", headers=who)).status_code == 404
            assert (await here.http.delete(f"/v1/sessions/{session}", headers=who)).status_code == 404
        assert (await here.http.get(f"/v1/sessions/{hers}", headers=ACME)).json()["subject"] == "ann"
        assert (await here.http.get(f"/v1/sessions/{the_keys}", headers=ACME)).json()["subject"] is None
        again = by_token(token_of("signer", subject="ann"))
        assert (await here.http.delete(f"/v1/sessions/{hers}", headers=again)).status_code == 204


async def test_a_session_whose_record_was_lost_is_nobodys_where_there_are_keys(valkey: EmbeddedValkey) -> None:
    live = {"ses_frankfurt_" + "r" * 20: 7}
    who = {"Authorization": f"Bearer plain.{SECRETS['acme']}"}
    keys = {"mode": "keys", "api_keys": {"plain": {"secret": SECRETS["acme"]}}}
    async with (
        Cluster(valkey.url) as cluster,
        kept(cluster, edge(), sessions=lambda: live),
        signaling(valkey) as local,
        signaling(valkey, auth=keys) as http,
    ):

        async def restored() -> bool:
            listed = (await local.get("/v1/sessions")).json()["sessions"]
            return [one["id"] for one in listed] == list(live)

        await until(restored)
        assert (await http.get("/v1/sessions", headers=who)).json()["sessions"] == []
        for session in live:
            assert (await http.delete(f"/v1/sessions/{session}", headers=who)).status_code == 404


async def test_an_edge_still_knows_whose_a_session_is_when_the_memory_is_lost(valkey: EmbeddedValkey) -> None:
    live: dict[str, int] = {}
    double = EdgeDouble()
    ann, bob = (by_token(token_of(subject=name)) for name in ("ann", "bob"))
    async with (
        serving(double) as address,
        Cluster(valkey.url) as cluster,
        kept(cluster, edge(control=address), worker(), sessions=lambda: live),
        signaling(valkey, auth=AUTH) as http,
    ):
        made = await http.post("/v1/sessions", json={"sdp": OFFER}, headers=ann)
        session, path = made.json()["id"], made.headers["location"]
        live[session] = made.json()["epoch"]
        await valkey.kill()
        await valkey.start()

        async def restored() -> bool:
            record = await cluster.session(session).record()
            return record is not None and record.restored

        await until(restored)
        for stranger in (GLOBEX, bob):
            assert (await http.get(path, headers=stranger)).status_code == 404
        assert (await http.get(path, headers=ann)).json()["subject"] == "ann"
        for who in (ACME, ann):
            for query in ("", "?live=true"):
                listed = (await http.get(f"/v1/sessions{query}", headers=who)).json()["sessions"]
                assert [one["id"] for one in listed] == [session]
        assert (await http.delete(path, headers=ann)).status_code == 204
