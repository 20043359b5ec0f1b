"""What an agent wants to know again at another worker: kept in the cluster's memory, fenced, and told to the next."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from antiphon.cluster import Cluster
from antiphon.errors import StaleEpochError
from antiphon.testing import SimulatedCall
from antiphon.turns import HintedVoice
from antiphon.worker import Session
from antiphon.worker.call import Call, Hearing
from antiphon.worker.checkpoints import MOST_BYTES, Checkpoints
from tests.support.members import edge, kept, worker
from tests.support.tasks import end
from tests.support.wait import until
from tests.unit.test_legs import Way, info

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.cluster.embedded import EmbeddedValkey


@asynccontextmanager
async def keeping(cluster: Cluster) -> AsyncIterator[Checkpoints]:
    checkpoints = Checkpoints()
    task = asyncio.create_task(checkpoints.keep(cluster))
    await asyncio.sleep(0)
    try:
        yield checkpoints
    finally:
        await end(task)


async def claimed(cluster: Cluster, previous: int = 0) -> int:
    found = await cluster.claim("ses_x", agent="echo", edges=["edge-a"], workers=["worker-a"], previous=previous)
    return found.epoch


async def test_the_last_of_many_is_what_the_next_worker_reads(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker()):
        epoch = await claimed(cluster)
        async with keeping(cluster) as here, keeping(cluster) as there:
            assert await there.get("ses_x") is None
            for number in range(100):
                here.put("ses_x", epoch, f'{{"order":{number}}}')

            async def written() -> bool:
                return bool(await there.get("ses_x") == {"order": 99})

            await until(written)


async def test_a_worker_that_lost_the_session_writes_nothing_more(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker()):
        first = await claimed(cluster)
        await cluster.session("ses_x").note_checkpoint(first, "1")
        second = await claimed(cluster, first)
        with pytest.raises(StaleEpochError):
            await cluster.session("ses_x").note_checkpoint(first, "2")
        assert await cluster.session("ses_x").checkpoint() == "1"
        await cluster.session("ses_x").release(second, {"reason": "bye"})
        assert await cluster.session("ses_x").checkpoint() is None
        with pytest.raises(StaleEpochError):
            await cluster.session("ses_x").note_checkpoint(second, "3")


async def test_without_the_memory_an_agent_begins_anew_and_a_checkpoint_waits() -> None:
    async with Cluster("redis://127.0.0.1:1/0") as cluster, keeping(cluster) as checkpoints:
        checkpoints.put("ses_x", 1, "1")
        assert await checkpoints.get("ses_x") is None


@pytest.mark.parametrize("state", [object(), float("nan"), "x" * MOST_BYTES, {1, 2}])
async def test_what_cannot_be_kept_is_told_at_once(state: Any) -> None:
    call = Call(info("edge-a", 1), Way(), Hearing(HintedVoice()), lambda _: None)
    with pytest.raises(ValueError, match=r"checkpoint|JSON"):
        Session(call).checkpoint(state)
    call.close("bye")


def test_an_agent_is_tested_for_what_it_knows_again() -> None:
    async def waiter(session: Session) -> None:
        order = await session.restored() or []

        @session.on_message
        def add(dish: str) -> None:
            order.append(dish)
            session.checkpoint(order)
            session.send(order)

        await session.wait_closed()

    with SimulatedCall(waiter) as first:
        first.sends("soup")
        assert first.checkpoints == [["soup"]]
    with SimulatedCall(waiter, restored=first.checkpoints[-1]) as second:
        second.sends("salad")
        assert second.messages == [["soup", "salad"]]
