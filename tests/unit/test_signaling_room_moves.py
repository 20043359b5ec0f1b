"""Members of a room that come to another edge, over HTTP: a real Valkey and real gRPC, with doubles for the edges."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.support.edge_double import Refusal
from tests.support.members import kept, worker
from tests.unit.test_signaling_moves import called, moved
from tests.unit.test_signaling_sessions import Site, site

if TYPE_CHECKING:
    from antiphon.cluster.embedded import EmbeddedValkey

_ROOM = {"room": "kitchen", "agent": "echo"}


async def members(here: Site, count: int = 2, **body: Any) -> list[str]:
    return [(await called(here, **{**_ROOM, **body}))["id"] for _ in range(count)]


async def room_of(here: Site) -> dict[str, Any]:
    told: dict[str, Any] = (await here.http.get("/v1/rooms/kitchen")).json()
    return told


@pytest.mark.parametrize("agent", ["echo", None])
async def test_members_leave_an_edge_that_drains_for_one_and_the_same(
    valkey: EmbeddedValkey, agent: str | None
) -> None:
    async with site(valkey) as here, kept(here.cluster, worker("worker-b")):
        both = await members(here, agent=agent)
        before = await room_of(here)
        await here.cluster.drain("edge", "edge-f", 60)
        first, second = await asyncio.gather(*(moved(here, one) for one in both))
        assert [reply.status_code for reply in (first, second)] == [200, 200], (first.text, second.text)
        assert [reply.json()["edge"] for reply in (first, second)] == ["edge-v", "edge-v"]
        assert {(one.room, one.agent, one.worker) for one in here.virginia.opened} == {
            ("kitchen", agent or "", before["worker"] or "")
        }
        told = await room_of(here)
        assert (told["edge"], told["worker"], sorted(told["joining"])) == ("edge-v", before["worker"], sorted(both))
        late = await called(here, room="kitchen")
        assert (late["edge"], late["worker"]) == ("edge-v", before["worker"] or "")


async def test_members_come_back_to_one_edge_when_theirs_does_not_answer(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here, kept(here.cluster, worker("worker-b")):
        both = await members(here)
        before = await room_of(here)
        here.frankfurt.stopped = True
        replies = await asyncio.gather(*(moved(here, one, lost=["edge-f"]) for one in both))
        assert [(one.json()["edge"], one.json()["worker"]) for one in replies] == [("edge-v", before["worker"])] * 2
        assert (await room_of(here))["edge"] == "edge-v"


async def test_who_alone_has_lost_an_edge_that_is_there_comes_back_to_it_and_parts_nobody(
    valkey: EmbeddedValkey,
) -> None:
    async with site(valkey) as here:
        both = await members(here)
        reply = await moved(here, both[0], lost=["edge-f"])
        assert reply.json()["edge"] == "edge-f"
        assert (await moved(here, both[1])).json()["edge"] == "edge-f", "nor does who says nothing of why"
        assert (await room_of(here))["edge"] == "edge-f"


async def test_where_no_edge_takes_a_member_the_room_stays_where_it_is(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here:
        both = await members(here)
        await here.cluster.drain("edge", "edge-f", 60)
        here.virginia.refusal = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "no_room", "no place left")
        replies = await asyncio.gather(*(moved(here, one) for one in both))
        assert [(one.status_code, one.json()["code"]) for one in replies] == [(503, "no_edge")] * 2
        assert (await room_of(here))["edge"] == "edge-f"
        here.virginia.refusal = None
        replies = await asyncio.gather(*(moved(here, one) for one in both))
        assert [one.json()["edge"] for one in replies] == ["edge-v"] * 2


async def test_a_member_whose_worker_is_lost_waits_until_its_room_has_another(valkey: EmbeddedValkey) -> None:
    async with site(valkey) as here, kept(here.cluster, worker("worker-b")):
        both = await members(here)
        old = (await room_of(here))["worker"]
        new = ({"worker-a", "worker-b"} - {old}).pop()
        reply = await moved(here, both[0], lost=[old])
        assert (reply.status_code, reply.json()["code"]) == (503, "no_worker")
        record = await here.cluster.session(both[1]).record()
        assert record is not None
        await here.cluster.session(both[1]).take_over(record.epoch, edge="edge-f", worker=new, number=1)
        after = (await moved(here, both[0], lost=[old])).json()
        assert (after["edge"], after["worker"]) == ("edge-f", new)
