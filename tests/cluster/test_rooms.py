"""Parts of a real cluster are lost or drained under a room of two callers and an agent. Each test prints its seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster import scenarios
from tests.cluster.fleet import Fleet
from tests.cluster.test_chaos import SLACK_MS, seeded

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
