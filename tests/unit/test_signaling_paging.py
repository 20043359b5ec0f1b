"""Lists in pages, and what they are filtered by: over a real Valkey, with doubles for the edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.client.api import Api
from antiphon.cluster import Cluster
from antiphon.signaling.paging import PageQuery, cursor_of, page_in_order, page_of
from tests.support.members import edge, kept, worker
from tests.support.signaling import OFFER, served, signaling
from tests.unit.test_signaling_sessions import Site, site

if TYPE_CHECKING:
    import httpx

    from antiphon.cluster.embedded import EmbeddedValkey


async def pages(http: httpx.AsyncClient, path: str, name: str) -> list[list[dict[str, Any]]]:
    """All of a list, as the Link header leads through it."""
    found = []
    while path:
        reply = await http.get(path)
        assert reply.status_code == 200, reply.text
        found.append(reply.json()[name])
        link = reply.links.get("next", {}).get("url", "")
        assert bool(link) == (reply.json()["next"] is not None)
        assert not link or f"cursor={reply.json()['next']}" in link
        path = link
    return found


async def called(here: Site, **wish: Any) -> str:
    reply = await here.http.post("/v1/sessions", json={"sdp": OFFER, **wish})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


async def test_sessions_come_in_pages_each_once_the_newest_first(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        made = [await called(here) for _ in range(7)]
        for query in ("?limit=3", "?limit=3&live=true"):
            found = await pages(here.http, f"/v1/sessions{query}", "sessions")
            assert [len(page) for page in found] == [3, 3, 1]
            assert sorted(one["id"] for page in found for one in page) == sorted(made)
            created = [one["created_ms"] for page in found for one in page]
            assert created == sorted(created, reverse=True)


async def test_a_list_of_live_sessions_goes_on_after_one_that_has_ended(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        made = {await called(here) for _ in range(4)}
        first = (await here.http.get("/v1/sessions?limit=2&live=true")).json()
        gone = first["sessions"][-1]["id"]
        await here.http.delete(f"/v1/sessions/{gone}")
        rest = (await here.http.get(f"/v1/sessions?limit=2&live=true&cursor={first['next']}")).json()
        assert {one["id"] for one in first["sessions"] + rest["sessions"]} == made
        assert rest["next"] is None


async def test_sessions_are_found_by_agent_place_room_and_state(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        ended = await called(here, agent="echo", region="frankfurt")
        await here.http.delete(f"/v1/sessions/{ended}")
        far = await called(here, agent="echo", region="virginia")
        member = await called(here, room="kitchen", region="frankfurt")

        async def found(query: str) -> list[str]:
            (page,) = await pages(here.http, f"/v1/sessions?{query}", "sessions")
            return [one["id"] for one in page]

        assert await found("agent=echo") == [far, ended]
        assert await found("region=virginia") == await found("edge=edge-v") == [far]
        assert await found("room=kitchen") == [member]
        assert await found("state=ended") == [ended]
        assert await found("state=live&agent=echo") == [far]
        assert await found("agent=echo&live=true") == [far]
        assert await found("worker=worker-a&agent=echo") == [far, ended]
        assert await found("agent=nobody") == []


async def test_rooms_come_in_pages_and_are_filtered(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        for name, region in (("b", "frankfurt"), ("a", "virginia"), ("c", "frankfurt")):
            await called(here, room=name, region=region, **({"agent": "echo"} if name == "c" else {}))
        found = await pages(here.http, "/v1/rooms?limit=2", "rooms")
        assert [[one["name"] for one in page] for page in found] == [["a", "b"], ["c"]]
        for query, names in (("region=virginia", ["a"]), ("edge=edge-f", ["b", "c"]), ("agent=echo", ["c"])):
            assert [one["name"] for one in (await here.http.get(f"/v1/rooms?{query}")).json()["rooms"]] == names


async def test_members_agents_and_regions_come_in_pages_and_are_filtered(valkey: EmbeddedValkey) -> None:
    members = (
        edge("edge-a"),
        edge("edge-b", region="virginia"),
        edge("edge-c", region="virginia", draining=True),
        worker("worker-a"),
        worker("worker-b", agents=("echo",), draining=True),
    )
    async with Cluster(valkey.url) as cluster, signaling(valkey) as http, kept(cluster, *members):

        async def names(path: str, name: str, key: str = "id") -> list[str]:
            return [one[key] for page in await pages(http, path, name) for one in page]

        assert await names("/v1/edges?limit=1", "edges") == ["edge-a", "edge-b", "edge-c"]
        assert await names("/v1/edges?region=virginia", "edges") == ["edge-b", "edge-c"]
        assert await names("/v1/edges?region=virginia&draining=false", "edges") == ["edge-b"]
        assert await names("/v1/workers?limit=1", "workers") == ["worker-a", "worker-b"]
        assert await names("/v1/workers?agent=parrot", "workers") == ["worker-a"]
        assert await names("/v1/workers?draining=true", "workers") == ["worker-b"]
        assert await names("/v1/agents?limit=1", "agents", "name") == ["echo", "parrot"]
        assert await names("/v1/agents?worker=worker-b", "agents", "name") == ["echo"]
        assert await names("/v1/regions?limit=1", "regions", "name") == ["frankfurt", "virginia"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=",
        "cursor=%00",
        "cursor=" + "A" * 401,
        f"cursor={cursor_of('edge-a')}",
        "cursor=1-2",
        "cursor=x-ses_frankfurt_00000000000000000000",
        "state=connected",
        "agent=",
        "agent=" + "a" * 65,
        "room=a%20room",
        "edge=" + "e" * 33,
        "live=perhaps",
        "regoin=frankfurt",
    ],
)
async def test_what_a_list_cannot_be_asked_is_refused(valkey: EmbeddedValkey, query: str) -> None:
    async with signaling(valkey) as http:
        reply = await http.get(f"/v1/sessions?{query}")
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"]


async def test_the_python_client_reads_all_pages(valkey: EmbeddedValkey) -> None:
    async with Cluster(valkey.url) as cluster, served(valkey) as url, kept(cluster, *map(edge, ("a", "b", "c"))):
        api = Api(url)
        try:
            assert [one["id"] for one in await api._all("/v1/edges?limit=1", "edges")] == ["a", "b", "c"]
        finally:
            await api.close()


NAMES = st.text(min_size=1, max_size=5)


@given(names=st.sets(NAMES, max_size=20), limit=st.integers(1, 7))
def test_pages_hold_each_entry_once_and_in_order(names: set[str], limit: int) -> None:
    found: list[str] = []
    query = PageQuery(limit=limit)
    while True:
        page, following = page_of(names, query, str)
        found += page
        if following is None:
            break
        assert len(page) == limit
        query = PageQuery(limit=limit, cursor=following)
    assert found == sorted(names)


@given(entries=st.lists(st.integers(0, 9), unique=True), limit=st.integers(1, 4), gone=st.integers(0, 9))
def test_a_list_with_an_order_of_its_own_keeps_it_though_its_oldest_go(
    entries: list[int], limit: int, gone: int
) -> None:
    first, following = page_in_order(entries, PageQuery(limit=limit), str)
    assert first == entries[:limit]
    if following is not None:
        left = entries[min(gone, len(entries)) :]
        rest, _ = page_in_order(left, PageQuery(limit=10, cursor=following), str)
        assert rest == [one for one in left if one not in first]
