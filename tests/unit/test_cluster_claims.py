"""Who gets a session: against a real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from antiphon.cluster import Claim, Cluster
from antiphon.errors import NoEdgeError, NoWorkerError, StaleEpochError, UnavailableError, UnknownSessionError
from tests.support.members import edge, kept, worker
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.cluster.embedded import EmbeddedValkey


@pytest_asyncio.fixture
async def cluster(server: EmbeddedValkey) -> AsyncIterator[Cluster]:
    async with Cluster(server.url) as found:
        yield found


async def claim(cluster: Cluster, session: str = "ses_x", **changes: object) -> Claim:
    arguments: dict[str, object] = {"agent": "parrot", "edges": ["edge-a"], "workers": ["worker-a"], **changes}
    return await cluster.claim(session, **arguments)  # type: ignore[arg-type]


async def test_of_fifty_racers_for_a_session_one_becomes_its_owner(cluster: Cluster) -> None:
    async def race(number: int) -> Claim:
        while True:
            try:
                return await claim(cluster, edges=[("edge-a", "edge-b")[number % 2]], request=f"racer-{number}")
            except UnavailableError:  # no answer in time, on a busy machine: the same request is asked again
                continue

    async with kept(cluster, edge("edge-a"), edge("edge-b"), worker()):
        results = await asyncio.gather(*map(race, range(50)), return_exceptions=True)
    winners = [result for result in results if isinstance(result, Claim)]
    assert len(winners) == 1
    assert sum(isinstance(result, StaleEpochError) for result in results) == 49
    record = await cluster.session("ses_x").record()
    assert record is not None
    assert (record.epoch, record.edge) == (winners[0].epoch, winners[0].edge.id)


async def test_fifty_racers_for_the_last_place_never_exceed_the_capacity(cluster: Cluster) -> None:
    async with kept(cluster, edge(capacity=7), worker()):
        results = await asyncio.gather(*(claim(cluster, f"ses_{i}") for i in range(50)), return_exceptions=True)
        assert sum(isinstance(result, Claim) for result in results) == 7
        assert sum(isinstance(result, NoEdgeError) for result in results) == 43
        assert (await cluster.edges())[0].sessions == 7


async def test_a_workers_capacity_counts_too(cluster: Cluster) -> None:
    async with kept(cluster, edge(), worker("worker-a", capacity=1), worker("worker-b", capacity=1)):
        both = ["worker-a", "worker-b"]
        first, second = await claim(cluster, "ses_1", workers=both), await claim(cluster, "ses_2", workers=both)
        assert (first.worker.id, second.worker.id) == ("worker-a", "worker-b")
        assert second.refused == {"worker-a": "full: worker.capacity is 1"}
        with pytest.raises(NoWorkerError, match=r"worker-a full: worker.capacity is 1, worker-b full"):
            await claim(cluster, "ses_3", workers=both)


async def test_the_first_candidate_that_can_is_taken_and_the_others_reasons_are_told(cluster: Cluster) -> None:
    full, drained, good = edge("edge-full", capacity=1), edge("edge-drained", draining=True), edge("edge-good")
    async with kept(cluster, full, drained, good, worker(), worker("worker-b", agents=("other",))):
        await claim(cluster, "ses_1", edges=["edge-full"])
        got = await claim(
            cluster,
            "ses_2",
            edges=["edge-absent", "edge-full", "edge-drained", "edge-good"],
            workers=["worker-b", "worker-a"],
        )
    assert got.edge.id == "edge-good"
    assert got.refused == {
        "edge-absent": "gone",
        "edge-full": "full: edge.capacity is 1",
        "edge-drained": "draining",
        "worker-b": "lacks the agent",
    }


async def test_a_claim_repeated_by_its_request_is_one_claim(cluster: Cluster) -> None:
    async with kept(cluster, edge(capacity=1), worker()):
        first = await claim(cluster, request="r-1")
        again = await claim(cluster, request="r-1")
        assert again == first
        assert (await cluster.edges())[0].sessions == 1


async def test_a_release_frees_the_place_and_keeps_the_record(cluster: Cluster) -> None:
    async with kept(cluster, edge(capacity=1), worker(capacity=1)):
        first = await claim(cluster, "ses_1", caller="192.0.2.7", metadata={"name": "Ada"})
        await cluster.session("ses_1").release(first.epoch, {"reason": "bye"})
        await cluster.session("ses_1").release(first.epoch, {"reason": "bye"})
        await claim(cluster, "ses_2")
    record = await cluster.session("ses_1").record()
    assert record is not None
    assert (record.state, record.outcome, record.metadata) == ("ended", {"reason": "bye"}, {"name": "Ada"})
    assert record.ended_ms is not None
    assert [one.id for one in (await cluster.sessions(live=True)).records] == ["ses_2"]
    assert {one.id for one in (await cluster.sessions()).records} == {"ses_1", "ses_2"}


async def test_an_ended_record_goes_after_its_time(cluster: Cluster) -> None:
    async with kept(cluster, edge(), worker()):
        got = await claim(cluster)
        await cluster.session("ses_x").release(got.epoch, ttl_s=0.05)

        async def gone() -> bool:
            return await cluster.session("ses_x").record() is None

        await until(gone)
        assert (await cluster.sessions()).records == ()


async def test_a_session_moves_only_from_the_epoch_that_its_mover_saw(cluster: Cluster) -> None:
    async with kept(cluster, edge("edge-a"), edge("edge-b"), worker()):
        first = await claim(cluster)
        second = await claim(cluster, edges=["edge-b"], previous=first.epoch)
        assert second.epoch > first.epoch
        with pytest.raises(StaleEpochError):
            await claim(cluster, edges=["edge-b"], previous=first.epoch)
        with pytest.raises(StaleEpochError):
            await cluster.session("ses_x").release(first.epoch)
        with pytest.raises(StaleEpochError):
            await cluster.session("ses_x").update(first.epoch, ufrag="old")
        assert {one.id: one.sessions for one in await cluster.edges()} == {"edge-a": 0, "edge-b": 1}


async def test_a_record_can_be_amended_by_its_owner(cluster: Cluster) -> None:
    with pytest.raises(UnknownSessionError):
        await cluster.session("ses_x").update(1, ufrag="u")
    async with kept(cluster, edge(), worker()):
        got = await claim(cluster)
        await cluster.session("ses_x").update(got.epoch, ufrag="u", placement={"edge": "near"})
    record = await cluster.session("ses_x").record()
    assert record is not None
    assert (record.ufrag, record.placement) == ("u", {"edge": "near"})


async def test_epochs_grow_over_a_loss_of_all_data(cluster: Cluster, server: EmbeddedValkey) -> None:
    async with kept(cluster, edge(), worker()):
        first = await claim(cluster)
        async with Redis.from_url(server.url) as redis:
            await redis.flushall()
            await redis.function_flush()
        await until(lambda: _can_claim(cluster))
        second = await claim(cluster)
        assert second.epoch > first.epoch


async def _can_claim(cluster: Cluster) -> bool:
    return len(await cluster.edges()) == 1 and len(await cluster.workers()) == 1


async def test_an_edges_word_restores_its_sessions_after_a_loss_of_all_data(
    cluster: Cluster, server: EmbeddedValkey
) -> None:
    held: dict[str, int] = {}
    async with kept(cluster, edge(capacity=1), worker(), sessions=lambda: held):
        first = await claim(cluster)
        held["ses_x"] = first.epoch
        async with Redis.from_url(server.url) as redis:
            await redis.flushall()

        async def restored() -> bool:
            record = await cluster.session("ses_x").record()
            return record is not None and record.state == "live" and record.restored

        await until(restored)
        await until(lambda: _can_claim(cluster))
        with pytest.raises(NoEdgeError):
            await claim(cluster, "ses_y")


async def test_a_slot_that_no_edge_holds_expires(server: EmbeddedValkey) -> None:
    async with Cluster(server.url, slot_s=0.3) as cluster, kept(cluster, edge(capacity=1), worker()):
        await claim(cluster, "ses_1")

        async def free() -> bool:
            return (await cluster.edges())[0].sessions == 0

        await until(free)
        record = await cluster.session("ses_1").record()
        assert record is not None
        assert record.state == "lost"
        await claim(cluster, "ses_2")


async def test_an_edge_that_starts_anew_has_lost_the_sessions_of_its_earlier_life(cluster: Cluster) -> None:
    async with kept(cluster, worker()):
        async with kept(cluster, edge(capacity=1)):
            await claim(cluster, "ses_1")
        async with kept(cluster, edge(capacity=1)):
            record = await cluster.session("ses_1").record()
            assert record is not None
            assert (record.state, record.outcome) == ("lost", {"reason": "edge_restarted"})
            await claim(cluster, "ses_2")


async def test_an_edge_hears_which_of_its_sessions_have_another_owner(cluster: Cluster, server: EmbeddedValkey) -> None:
    told: list[str] = []
    async with kept(cluster, edge("edge-b"), worker()):
        old = {"ses_1": 5, "ses_2": 5}
        await cluster.session("ses_2").release(5, {"reason": "api"})
        keeping = asyncio.create_task(cluster.keep(lambda: edge("edge-a"), lambda: old, stale=told.extend))
        await until(lambda: _held(cluster))
        async with Cluster(server.url, move_s=0.01) as mover:
            await claim(mover, "ses_1", edges=["edge-b"], previous=5)
        await until(lambda: {"ses_1", "ses_2"} <= set(told))
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _held(cluster: Cluster) -> bool:
    record = await cluster.session("ses_1").record()
    return record is not None and record.edge == "edge-a"


async def test_a_session_that_ended_during_its_set_up_stays_ended(cluster: Cluster) -> None:
    async with kept(cluster, edge(), worker()):
        found = await claim(cluster)
        await cluster.session("ses_x").release(found.epoch, {"reason": "worker"})
        await cluster.session("ses_x").update(found.epoch, state="live", ufrag="abcd")
        record = await cluster.session("ses_x").record()
    assert record is not None
    assert (record.state, record.ufrag, record.outcome) == ("ended", "abcd", {"reason": "worker"})


async def test_a_session_that_moves_may_be_at_both_edges_for_a_while(cluster: Cluster) -> None:
    told: list[str] = []
    held: dict[str, int] = {}
    async with kept(cluster, edge("edge-b"), worker()):
        keeping = asyncio.create_task(cluster.keep(lambda: edge("edge-a"), lambda: held, stale=told.extend))
        await until(lambda: _registered(cluster, "edge-a"))
        first = await claim(cluster)
        held["ses_x"] = first.epoch
        second = await claim(cluster, edges=["edge-b"], previous=first.epoch)
        held["ses_y"] = 0  # a renewal after the move is known by this one
        await cluster.session("ses_y").release(1)
        cluster.hurry()
        await until(lambda: "ses_y" in told)
        assert "ses_x" not in told
        assert {one.id: one.sessions for one in await cluster.edges()} == {"edge-a": 2, "edge-b": 1}
        held.clear()
        with pytest.raises(StaleEpochError):
            await cluster.session("ses_x").release(first.epoch, {"reason": "bye"})
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    record = await cluster.session("ses_x").record()
    assert record is not None
    assert (record.epoch, record.edge, record.outcome) == (second.epoch, "edge-b", {})


async def _registered(cluster: Cluster, name: str) -> bool:
    return name in (await cluster.members()).ids


async def test_a_move_that_came_to_nothing_leaves_the_session_where_it_was(cluster: Cluster) -> None:
    async with kept(cluster, edge("edge-a"), edge("edge-b"), worker()):
        first = await claim(cluster)
        second = await claim(cluster, edges=["edge-b"], previous=first.epoch)
        assert await cluster.session("ses_x").revert(second.epoch)
        record = await cluster.session("ses_x").record()
        assert record is not None
        assert (record.epoch, record.edge, record.state) == (first.epoch, "edge-a", "live")
        with pytest.raises(StaleEpochError):
            await cluster.session("ses_x").release(second.epoch, {"reason": "timeout"})
        with pytest.raises(StaleEpochError):
            await cluster.session("ses_x").revert(second.epoch)
        third = await claim(cluster, edges=["edge-b"], previous=first.epoch)
        assert third.epoch > second.epoch


async def test_a_session_without_an_earlier_place_cannot_go_back(cluster: Cluster) -> None:
    async with kept(cluster, edge(), worker()):
        first = await claim(cluster)
        assert not await cluster.session("ses_x").revert(first.epoch)


async def test_a_session_that_moves_keeps_its_worker_though_that_is_full_and_drains(cluster: Cluster) -> None:
    async with kept(cluster, edge("edge-a"), edge("edge-b"), worker(capacity=1), worker("worker-b")):
        first = await claim(cluster)
        await cluster.drain("worker", "worker-a", 60)
        both = ["worker-a", "worker-b"]
        second = await claim(cluster, edges=["edge-b"], workers=both, previous=first.epoch)
        assert second.worker.id == "worker-a"
        assert (await claim(cluster, "ses_y", workers=both)).worker.id == "worker-b"


async def test_a_session_whose_worker_was_lost_may_come_back(cluster: Cluster) -> None:
    async with kept(cluster, edge("edge-a"), worker(), worker("worker-b")):
        first = await claim(cluster)
        await cluster.session("ses_x").release(first.epoch, {"reason": "worker"}, lost=True)
        record = await cluster.session("ses_x").record()
        assert record is not None
        assert (record.state, record.outcome) == ("lost", {"reason": "worker"})
        assert {one.sessions for one in await cluster.edges()} == {0}
        second = await claim(cluster, workers=["worker-b"], previous=first.epoch)
        assert (second.edge.id, second.worker.id) == ("edge-a", "worker-b")
        record = await cluster.session("ses_x").record()
        assert record is not None
        assert (record.state, record.outcome) == ("claimed", {})


async def test_a_session_that_has_ended_does_not_move(cluster: Cluster) -> None:
    async with kept(cluster, edge("edge-a"), edge("edge-b"), worker()):
        first = await claim(cluster)
        await cluster.session("ses_x").release(first.epoch, {"reason": "bye"})
        with pytest.raises(UnknownSessionError):
            await claim(cluster, edges=["edge-b"], previous=first.epoch)
