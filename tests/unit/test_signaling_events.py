"""Events over HTTP: whose they are, where a stream goes on, and what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from antiphon.cluster import Cluster
from antiphon.config import load_config
from antiphon.errors import OverLimitError
from antiphon.signaling.events import LISTENERS, LISTENERS_PER_KEY, Listeners
from antiphon.signaling.server import run
from tests.support.members import edge, kept, worker
from tests.support.signaling import OFFER, signaling
from tests.support.tokens import AUTH, by_key
from tests.support.wait import until
from tests.unit.test_signaling_sessions import Site, site

if TYPE_CHECKING:
    from antiphon.cluster.embedded import EmbeddedValkey

ALL = {"Last-Event-ID": "0-0"}
ACME, GLOBEX, BOSS = by_key("acme"), by_key("globex"), by_key("boss")


async def told(http: httpx.AsyncClient, headers: dict[str, str]) -> list[tuple[str, str, dict[str, Any]]]:
    """Id, type and data of all there is."""
    reply = await http.get("/v1/events?for_s=0", headers=headers)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "text/event-stream"
    found = []
    for block in reply.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in fields:
            found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
    return found


async def called(here: Site, who: dict[str, str], **wish: Any) -> str:
    reply = await here.http.post("/v1/sessions", json={"sdp": OFFER, **wish}, headers=who)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


async def test_a_sessions_life_is_told_to_its_project_and_no_other(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        mine = await called(here, ACME, room="kitchen")
        await here.http.delete(f"/v1/sessions/{mine}", headers=ACME)
        await here.http.delete(f"/v1/sessions/{mine}", headers=ACME)
        events = await told(here.http, ACME | ALL)
        lives = [(kind, data) for _, kind, data in events if kind.startswith("session.")]
        assert [kind for kind, _ in lives] == ["session.created", "session.live", "session.ended"]
        assert {data["session"] for _, data in lives} == {mine}
        assert {data["room"] for _, _, data in events} == {"kitchen"}, "by the name that its members know"
        assert lives[-1][1]["reason"] == "api"
        assert await told(here.http, GLOBEX | ALL) == []


async def test_a_stream_goes_on_after_the_event_it_names_and_else_begins_now(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        await called(here, ACME)
        first, second = await told(here.http, ACME | ALL)
        assert await told(here.http, ACME | {"Last-Event-ID": first[0]}) == [second]
        assert await told(here.http, ACME) == []


async def test_a_rooms_life_is_told_with_who_comes_and_goes(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        first, second = [await called(here, ACME, room="kitchen", region="virginia") for _ in range(2)]
        for session in (first, second):
            await here.http.delete(f"/v1/sessions/{session}", headers=ACME)
        lives = [(kind, data) for _, kind, data in await told(here.http, ACME | ALL) if kind.startswith("room.")]
        assert [(kind, data.get("session"), data.get("reason")) for kind, data in lives] == [
            ("room.opened", None, None),
            ("room.member_joined", first, None),
            ("room.member_joined", second, None),
            ("room.member_left", first, "api"),
            ("room.member_left", second, "api"),
            ("room.closed", None, "empty"),
        ]
        assert {(data["room"], data["edge"], data["region"]) for _, data in lives} == {
            ("kitchen", "edge-v", "virginia")
        }
        assert await told(here.http, GLOBEX | ALL) == []


async def test_a_member_whose_set_up_fails_was_never_there(valkey: EmbeddedValkey) -> None:
    async with Cluster(valkey.url) as cluster, kept(cluster, edge(), worker()), signaling(valkey) as http:
        claimed = await cluster.claim("ses_1", agent="", edges=["edge-a"], workers=[], room="r")
        await cluster.session("ses_1").release(claimed.epoch, {"reason": "setup_failed"})
        assert not [kind for _, kind, _ in await told(http, ALL) if kind.startswith("room.")]


async def test_a_room_whose_edge_fell_silent_is_told_to_be_closed(valkey: EmbeddedValkey) -> None:
    async with Cluster(valkey.url, slot_s=0.3) as cluster, signaling(valkey) as http, kept(cluster, edge("edge-b")):
        async with kept(cluster, edge()):
            claimed = await cluster.claim("ses_1", agent="", edges=["edge-a"], workers=[], room="r")
            await cluster.session("ses_1").update(claimed.epoch, state="live")

        async def rooms() -> list[tuple[str, Any]]:
            events = await told(http, ALL)
            return [(kind, data.get("reason")) for _, kind, data in events if kind.startswith("room.")]

        async def closed() -> bool:
            return ("room.closed", "empty") in await rooms()

        await until(closed)
        assert await rooms() == [
            ("room.opened", None),
            ("room.member_joined", None),
            ("room.member_left", "lease"),
            ("room.closed", "empty"),
        ]


async def test_members_are_told_to_operators_alone(valkey: EmbeddedValkey) -> None:
    async with signaling(valkey, auth=AUTH) as http, Cluster(valkey.url) as cluster:
        async with kept(cluster, edge("edge-e"), worker("worker-e")):
            for verb in ("drain", "drain", "undrain", "undrain"):
                assert (await http.post(f"/v1/edges/edge-e:{verb}", headers=BOSS)).status_code == 200
        lives = [(kind, data.get("reason")) for _, kind, data in await told(http, BOSS | ALL) if data["id"] == "edge-e"]
        assert lives == [
            ("edge.joined", None),
            ("edge.draining", "ordered"),
            ("edge.undrained", None),
            ("edge.left", "itself"),
        ]
        assert [kind for _, kind, data in await told(http, BOSS | ALL) if data["id"] == "worker-e"] == [
            "worker.joined",
            "worker.left",
        ]
        assert await told(http, ACME | ALL) == []


async def test_what_is_no_longer_kept_is_told_as_a_gap(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        await called(here, ACME)
        events = await told(here.http, ACME | {"Last-Event-ID": "1-0"})
        assert events[0] == ("", "gap", {"after": "1-0"})
        assert [kind for _, kind, _ in events[1:]] == ["session.created", "session.live"]


@pytest.mark.parametrize("last", ["", "x", "1", "1-", "-1", "1-2-3", "(1-0", "9" * 16 + "-0", "1-0x"])
async def test_an_id_of_no_event_is_refused(valkey: EmbeddedValkey, last: str) -> None:
    async with signaling(valkey, auth=AUTH) as http:
        reply = await http.get("/v1/events?for_s=0", headers=ACME | {"Last-Event-ID": last})
        assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")


def test_listeners_are_bounded_by_key_and_in_all() -> None:
    listeners = Listeners()
    held = [listeners.one_more("acme") for _ in range(LISTENERS_PER_KEY)]
    for one in held:
        one.__enter__()
    with pytest.raises(OverLimitError):
        listeners.check("acme")
    listeners.check("globex")
    for at in range(LISTENERS - LISTENERS_PER_KEY):
        held.append(listeners.one_more(f"key-{at}"))
        held[-1].__enter__()
    with pytest.raises(OverLimitError):
        listeners.check("globex")
    for one in held:
        one.__exit__(None, None, None)
    listeners.check("acme")


async def test_a_move_is_told_with_the_edge_that_was_left(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        session = await called(here, {}, region="frankfurt")
        moved = await here.http.post(f"/v1/sessions/{session}:move", json={"sdp": OFFER, "lost": ["edge-f"]})
        assert moved.status_code == 200, moved.text
        lives = [(kind, data) for _, kind, data in await told(here.http, ALL) if data.get("session") == session]
        assert [kind for kind, _ in lives] == ["session.created", "session.live", "session.moved", "session.live"]
        assert (lives[2][1]["from_edge"], lives[2][1]["edge"]) == ("edge-f", "edge-v")


async def test_an_open_stream_hears_what_happens_and_is_counted_until_its_listener_leaves(
    valkey: EmbeddedValkey,
) -> None:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    config = load_config(redis={"url": valkey.url}, signaling={"port": 0})
    serving = asyncio.create_task(run(config, started=port.set_result))
    url = f"http://127.0.0.1:{await port}"

    async def left() -> bool:
        return "antiphon_signaling_event_listeners 0.0" in (await http.get("/metrics")).text

    async with httpx.AsyncClient(base_url=url) as http, Cluster(valkey.url) as cluster:
        async with http.stream("GET", "/v1/events") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 5000"
            assert not await left()
            async with kept(cluster, edge("edge-live")):
                async for line in lines:
                    if line == "event: edge.joined":
                        break
        await until(left)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
