"""Parts of a real cluster are lost or drained under a room of two callers and an agent. Each test prints its seed."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from antiphon.client import Caller
from tests.cluster import scenarios
from tests.cluster.calls import noted
from tests.cluster.fleet import Fleet
from tests.cluster.test_chaos import SLACK_MS, seeded
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, workers=2) as running:
        yield running


@pytest.mark.parametrize("how", ["worker_killed", "worker_stopped"])
async def test_a_room_goes_on_with_another_worker_and_its_members_hear_each_other_all_the_while(
    fleet: Fleet, how: str
) -> None:
    with seeded() as rng:
        account = await getattr(scenarios, how)(fleet, 2, rng, room="kitchen")
    assert (account.lost, account.moved) == (0, 0)
    assert account.runs == {2}, "one run of the agent for the room, which knows of the one before it"
    assert account.longest <= 1000 + SLACK_MS
    assert max(account.voices) <= 250 + SLACK_MS, "members hear each other whatever becomes of the agent"
    assert (account.up_missing, account.up_doubled) == (0, 0), "of what the callers said since the last second before"


@pytest.mark.parametrize("how", ["edge_killed", "edge_stopped"])
async def test_members_of_a_lost_edge_meet_at_another_and_their_agents_run_goes_on(fleet: Fleet, how: str) -> None:
    with seeded() as rng:
        account = await getattr(scenarios, how)(fleet, 2, rng, room="kitchen")
    assert (account.lost, account.moved) == (0, 2)
    assert account.runs == {1}
    assert account.longest <= 4000
    assert max(account.voices) <= 4000 + SLACK_MS
    assert account.up_doubled == 0


async def test_a_room_leaves_an_edge_that_drains_as_one_and_its_agents_run_goes_on(fleet: Fleet) -> None:
    with seeded() as rng:
        account = await scenarios.drain(fleet, 2, rng, room="kitchen")
    assert (account.lost, account.moved) == (0, 2)
    assert account.runs == {1}
    assert account.longest <= 250 + SLACK_MS
    assert (account.missing, account.doubled) == (0, 0), "of the agent's frames"
    assert account.up_missing + account.up_doubled <= 2 * account.calls, "of the callers' frames, at the cut"
    assert max(account.voices) <= 1000 + SLACK_MS, "members hear each other while they come one after the other"


async def test_a_room_without_an_agent_is_asked_by_its_edge_to_leave(fleet: Fleet) -> None:
    async with AsyncExitStack() as stack:
        calls = [Caller(fleet.url, room="attic", slots=1, region="frankfurt") for _ in range(2)]
        heard: list[list[float]] = [[], []]
        for call, at in zip(calls, heard, strict=True):
            call.voices[0].packet = noted(call.voices[0].packet, at)  # type: ignore[method-assign, assignment]
            await stack.enter_async_context(call)
        await until(lambda: all(heard), what="both voices")
        await calls[0].mute()
        await asyncio.to_thread(fleet.post, "/v1/edges/edge-frankfurt:drain", {"deadline_s": 60})
        await until(lambda: {call.edge for call in calls} == {"edge-virginia"}, seconds=40, what="both elsewhere")
        room = await asyncio.to_thread(fleet.get, "/v1/rooms/attic")
        assert (room["edge"], room["worker"]) == ("edge-virginia", None)

        def both_there() -> bool:
            members = fleet.get("/v1/rooms/attic")["members"]
            return {one["session"]: one["muted"] for one in members} == {
                calls[0].session: True,
                calls[1].session: False,
            }

        await until(lambda: asyncio.to_thread(both_there), every=0.2, what="both in the room, one of them muted still")
        since = time.monotonic()
        await until(lambda: heard[0][-1] > since, what="the other's voice")
        assert not any(call.ended for call in calls)
