"""Who gets a session: against a real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from antiphon.cluster import Claim, Cluster
from antiphon.errors import NoEdgeError, NoWorkerError, StaleEpochError, UnknownSessionError
from tests.support.members import edge, kept, until, worker

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
    async with kept(cluster, edge("edge-a"), edge("edge-b"), worker()):
        races = [claim(cluster, edges=[("edge-a", "edge-b")[i % 2]], request=f"racer-{i}") for i in range(50)]
        results = await asyncio.gather(*races, return_exceptions=True)
    winners = [result for result in results if isinstance(result, Claim)]
    assert len(winners) == 1
    assert sum(isinstance(result, StaleEpochError) for result in results) == 49
    record = await cluster.session("ses_x")
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
        await cluster.release("ses_1", first.epoch, {"reason": "bye"})
        await cluster.release("ses_1", first.epoch, {"reason": "bye"})
        await claim(cluster, "ses_2")
    record = await cluster.session("ses_1")
    assert record is not None
    assert (record.state, record.outcome, record.metadata) == ("ended", {"reason": "bye"}, {"name": "Ada"})
    assert record.ended_ms is not None
    assert [one.id for one in await cluster.sessions(live=True)] == ["ses_2"]
    assert {one.id for one in await cluster.sessions()} == {"ses_1", "ses_2"}


async def test_an_ended_record_goes_after_its_time(cluster: Cluster) -> None:
    async with kept(cluster, edge(), worker()):
        got = await claim(cluster)
        await cluster.release("ses_x", got.epoch, ttl_s=0.05)

        async def gone() -> bool:
            return await cluster.session("ses_x") is None

        await until(gone)
        assert await cluster.sessions() == []


async def test_a_session_moves_only_from_the_epoch_that_its_mover_saw(cluster: Cluster) -> None:
    async with kept(cluster, edge("edge-a"), edge("edge-b"), worker()):
        first = await claim(cluster)
        second = await claim(cluster, edges=["edge-b"], previous=first.epoch)
        assert second.epoch > first.epoch
        with pytest.raises(StaleEpochError):
            await claim(cluster, edges=["edge-b"], previous=first.epoch)
        with pytest.raises(StaleEpochError):
            await cluster.release("ses_x", first.epoch)
        with pytest.raises(StaleEpochError):
            await cluster.update("ses_x", first.epoch, ufrag="old")
        assert {one.id: one.sessions for one in await cluster.edges()} == {"edge-a": 0, "edge-b": 1}


async def test_a_record_can_be_amended_by_its_owner(cluster: Cluster) -> None:
    with pytest.raises(UnknownSessionError):
        await cluster.update("ses_x", 1, ufrag="u")
    async with kept(cluster, edge(), worker()):
        got = await claim(cluster)
        await cluster.update("ses_x", got.epoch, ufrag="u", placement={"edge": "near"})
    record = await cluster.session("ses_x")
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
            record = await cluster.session("ses_x")
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
        record = await cluster.session("ses_1")
        assert record is not None
        assert record.state == "lost"
        await claim(cluster, "ses_2")


async def test_an_edge_that_starts_anew_ends_the_sessions_of_its_earlier_life(cluster: Cluster) -> None:
    async with kept(cluster, worker()):
        async with kept(cluster, edge(capacity=1)):
            await claim(cluster, "ses_1")
        async with kept(cluster, edge(capacity=1)):
            record = await cluster.session("ses_1")
            assert record is not None
            assert (record.state, record.outcome) == ("ended", {"reason": "edge_restarted"})
            await claim(cluster, "ses_2")


async def test_an_edge_hears_which_of_its_sessions_have_another_owner(cluster: Cluster) -> None:
    told: list[str] = []
    async with kept(cluster, edge("edge-b"), worker()):
        old = {"ses_1": 5, "ses_2": 5}
        await cluster.release("ses_2", 5, {"reason": "api"})
        keeping = asyncio.create_task(cluster.keep(lambda: edge("edge-a"), lambda: old, stale=told.extend))
        await until(lambda: _held(cluster))
        await claim(cluster, "ses_1", edges=["edge-b"], previous=5)
        await until(lambda: {"ses_1", "ses_2"} <= set(told))
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _held(cluster: Cluster) -> bool:
    record = await cluster.session("ses_1")
    return record is not None and record.edge == "edge-a"


async def test_a_session_that_ended_during_its_set_up_stays_ended(cluster: Cluster) -> None:
    async with kept(cluster, edge(), worker()):
        found = await claim(cluster)
        await cluster.release("ses_x", found.epoch, {"reason": "worker"})
        await cluster.update("ses_x", found.epoch, state="live", ufrag="abcd")
        record = await cluster.session("ses_x")
    assert record is not None
    assert (record.state, record.ufrag, record.outcome) == ("ended", "abcd", {"reason": "worker"})
