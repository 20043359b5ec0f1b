"""Parts of a real cluster are killed, stopped, drained and restarted under live calls. Each test prints its seed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.cluster import scenarios
from tests.cluster.calls import pulses
from tests.cluster.fleet import Fleet
from tests.integration.test_offers import offer
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.calls import Account

pytestmark = pytest.mark.timeout(240)
_CALLS = 4
SLACK_MS = 250.0
"""A machine that is shared with other tests wakes calls late: targets are measured by `make bench-chaos`."""


@contextmanager
def seeded() -> Iterator[random.Random]:
    """ANTIPHON_SEED repeats a run."""
    seed = int(os.environ.get("ANTIPHON_SEED") or random.randrange(1 << 32))
    sys.stdout.write(f"ANTIPHON_SEED={seed}\n")
    yield random.Random(seed)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, workers=2, signaling=2) as running:
        yield running


async def test_calls_leave_an_edge_that_drains_without_a_pause(fleet: Fleet) -> None:
    with seeded() as rng:
        account = await scenarios.drain(fleet, _CALLS, rng)
    assert (account.lost, account.moved) == (0, _CALLS)
    assert account.longest <= 250 + SLACK_MS
    assert (account.missing, account.doubled) == (0, 0), "of the agent's frames"
    assert account.up_missing + account.up_doubled <= 2 * _CALLS, "of the callers' frames, at the cut"


async def test_calls_come_back_when_their_edge_is_killed(fleet: Fleet) -> None:
    with seeded() as rng:
        account = await scenarios.edge_killed(fleet, _CALLS, rng)
    assert (account.lost, account.moved) == (0, _CALLS)
    assert account.longest <= 4000
    assert account.missing <= 15 * _CALLS, "what the edge had sent since its last report is said again, not left out"
    assert account.up_doubled == 0


async def test_a_stopped_edge_is_left_and_is_not_heard_when_it_wakes(fleet: Fleet) -> None:
    with seeded() as rng:
        account = await scenarios.edge_stopped(fleet, _CALLS, rng)
    assert (account.lost, account.moved) == (0, _CALLS)
    assert account.longest <= 4000
    assert account.up_doubled == 0


@pytest.mark.parametrize("how", ["worker_killed", "worker_stopped"])
async def test_calls_of_a_lost_worker_go_on_with_another_and_callers_do_nothing_for_it(fleet: Fleet, how: str) -> None:
    with seeded() as rng:
        account = await getattr(scenarios, how)(fleet, _CALLS, rng)
    assert (account.lost, account.moved) == (0, 0)
    assert account.longest <= 1000 + SLACK_MS
    assert (account.up_missing, account.up_doubled) == (0, 0), "of what the callers said since the last second before"


async def test_signaling_may_die_and_any_node_serves_any_session(fleet: Fleet) -> None:
    with seeded() as rng:
        account = await scenarios.signaling_killed(fleet, _CALLS, rng)
    unhurt(account)


@pytest.mark.parametrize("how", ["redis_gone", "redis_stopped", "redis_failed_over"])
async def test_calls_do_not_notice_that_redis_is_away(fleet: Fleet, how: str) -> None:
    with seeded() as rng:
        account = await getattr(scenarios, how)(fleet, _CALLS, rng)
    unhurt(account)


async def test_a_region_that_is_cut_off_from_redis_goes_on_and_so_do_the_others(tmp_path: Path) -> None:
    own = {"signaling-1": scenarios.CUT_OFF_SETTINGS}
    with seeded() as rng, Fleet(tmp_path, workers=1, signaling=2, apart=scenarios.CUT_OFF, own=own) as fleet:
        account = await scenarios.region_cut_off(fleet, _CALLS, rng)
    unhurt(account)


@pytest.mark.parametrize("how", ["region_redis_gone", "region_redis_stopped", "region_redis_cut"])
async def test_where_each_region_has_its_redis_the_loss_of_one_is_no_trouble_of_the_other(
    tmp_path: Path, how: str
) -> None:
    apart = scenarios.BEYOND if how == "region_redis_cut" else ()
    with (
        seeded() as rng,
        Fleet(tmp_path, workers=2, signaling=2, redis_per_region=True, own=scenarios.OWN_REDIS, apart=apart) as fleet,
    ):
        account = await getattr(scenarios, how)(fleet, _CALLS, rng)
    unhurt(account)


async def test_calls_do_not_notice_that_clocks_are_set(tmp_path: Path) -> None:
    with seeded() as rng, Fleet(tmp_path, workers=1, signaling=1, clocks=True) as fleet:
        account = await scenarios.clocks_jump(fleet, _CALLS, rng)
    unhurt(account)


def unhurt(account: Account) -> None:
    assert (account.lost, account.moved) == (0, 0)
    assert (account.missing, account.doubled, account.up_missing, account.up_doubled) == (0, 0, 0, 0)
    assert account.longest <= 250 + SLACK_MS + account.stalled_ms


async def test_no_call_is_lost_when_all_edges_are_restarted_one_after_the_other(fleet: Fleet) -> None:
    with seeded() as rng:
        account = await scenarios.rolling_restart(fleet, _CALLS, rng)
    assert (account.lost, account.moved) == (0, _CALLS)
    assert (account.missing, account.doubled) == (0, 0)
    assert account.longest <= 250 + SLACK_MS


async def test_of_two_hundred_that_start_at_once_a_hundred_are_placed_and_none_twice(tmp_path: Path) -> None:
    sdp = await offer()
    with Fleet(tmp_path, workers=2, settings={"ANTIPHON_EDGE__CAPACITY": "50"}) as fleet:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=fleet.url, timeout=60, trust_env=False, limits=limits) as http:

            async def call(number: int) -> httpx.Response:
                region = ("frankfurt", "virginia")[number % 2]
                return await http.post("/v1/sessions", json={"sdp": sdp, "agent": "pulse", "region": region})

            answers = await asyncio.gather(*(call(number) for number in range(200)))
            assert Counter(one.status_code for one in answers) == {201: 100, 503: 100}
            refused = [one for one in answers if one.status_code == 503]
            assert {one.json()["code"] for one in refused} == {"no_edge"}
            assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
            placed: list[dict[str, Any]] = [one.json() for one in answers if one.status_code == 201]
            assert len({one["id"] for one in placed}) == 100
            assert Counter(one["edge"] for one in placed) == {"edge-frankfurt": 50, "edge-virginia": 50}
            listed = (await http.get("/v1/sessions?live=true&limit=1000")).json()["sessions"]
            assert {one["id"]: one["edge"] for one in listed} == {one["id"]: one["edge"] for one in placed}
            for one in placed:
                assert (await http.delete(f"/v1/sessions/{one['id']}")).status_code == 204

            async def empty() -> bool:
                edges = (await http.get("/v1/edges")).json()["edges"]
                return all(one["sessions"] == 0 for one in edges)

            await until(empty, every=0.2, what="edges without sessions")


async def test_a_drain_by_signal_ends_when_the_last_call_does(fleet: Fleet) -> None:
    """The only edge that is left cannot send its calls anywhere: they end by themselves, and then the process does."""
    fleet.parts["edge-virginia"].signal(signal.SIGTERM)
    assert await asyncio.to_thread(fleet.parts["edge-virginia"].wait_ended) == 0
    async with pulses(fleet.url, 1) as (call,):
        fleet.parts["edge-frankfurt"].signal(signal.SIGTERM)
        await until(lambda: "drains before it stops" in fleet.parts["edge-frankfurt"].text(), what="a drain")
        assert await scenarios.refused(fleet.url)
        assert not call.caller.ended
        assert fleet.parts["edge-frankfurt"].lives
        await call.caller.hang_up()
        assert await asyncio.to_thread(fleet.parts["edge-frankfurt"].wait_ended) == 0
