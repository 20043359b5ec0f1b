"""What breaks, and what goes on meanwhile: a worker that is killed, a Redis that is gone."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from antiphon.client import RATE, Caller, CallError, CallRefusedError
from tests.integration.test_calls import ended_record, heard, sentence
from tests.support.wait import until

if TYPE_CHECKING:
    from tests.support.cluster import LocalCluster, Valkey


async def works(cluster: LocalCluster, agent: str = "mirror") -> bool:
    """Whether a call can be made and its agent answers."""
    try:
        async with Caller(cluster.url, agent=agent) as call:
            await call.send("are you there?")
            await call.wait_for(lambda: call.messages, within=30)
    except (CallError, TimeoutError):
        return False
    return True


async def test_the_calls_of_a_killed_worker_wait_for_the_next_one(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="echo") as call:
        await call.wait_for(lambda: call.journal.agent, within=60)  # the data channel is open
        pid = await until(lambda: cluster.pid("worker"), what="a worker")
        os.kill(pid, signal.SIGKILL)
        await call.wait_for(lambda: call.moves, within=60)
        said = sentence("Somebody else listens now.")
        await call.play(said)
        await heard(call, said, 0.9)
    await until(lambda: works(cluster), seconds=110, what="calls with the new worker")
    assert cluster.log("ended by itself (signal SIGKILL)")


@pytest.mark.timeout(240)
async def test_a_call_goes_on_without_redis_and_new_ones_work_once_it_is_back(
    cluster: LocalCluster, cluster_valkey: Valkey
) -> None:
    said = sentence("The call goes on, whatever happens.")
    async with Caller(cluster.url, agent="echo") as call:
        await call.play(said)
        await heard(call, said, 0.9)
        cluster_valkey.kill()
        try:

            async def refused() -> bool:
                try:
                    async with Caller(cluster.url, agent="echo"):
                        return False
                except CallRefusedError as error:
                    return error.status == 503 and error.retry_after is not None

            await until(refused, what="a refusal of new calls")
            again = sentence("And on and on it goes.")
            await call.play(np.zeros(RATE, np.int16))
            await call.play(again)
            await heard(call, again, 0.9)
            assert not call.ended
            assert cluster.get("/livez").status_code == 200
        finally:
            cluster_valkey.start()
        await until(lambda: works(cluster), seconds=110, what="new calls")
        assert not call.ended


async def test_an_edge_that_is_stopped_says_goodbye_and_comes_back(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="echo", region="virginia") as call:
        await call.wait_for(lambda: call.journal.agent, within=60)
        pid = await until(lambda: edge_of(cluster, call.edge), what="the call's edge")
        os.kill(pid, signal.SIGTERM)
        await asyncio.wait_for(call.wait_ended(), 60)
    assert call.journal.end_reason == "drain"
    record = await until(lambda: ended_record(cluster, call.session), what="the session's record")
    assert record["reason"] == "drain"

    def both() -> bool:
        return len(cluster.get("/v1/edges").json()["edges"]) == 2

    await until(both, what="both edges")
    await until(lambda: works(cluster), seconds=110, what="calls")


def edge_of(cluster: LocalCluster, edge: str) -> int | None:
    """The process that runs an edge, by its environment."""
    mark = f"ANTIPHON_EDGE__ID={edge}".encode()
    edges = [pid for pid, line in cluster.processes().items() if line.endswith("cli edge")]
    return next((pid for pid in edges if mark in Path(f"/proc/{pid}/environ").read_bytes()), None)


async def test_a_call_goes_on_while_signaling_is_restarted(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="echo") as call:
        pid = await until(lambda: cluster.pid("signaling"), what="signaling")
        os.kill(pid, signal.SIGKILL)
        said = sentence("Nobody at the front desk, and yet we talk.")
        await call.play(said)
        await heard(call, said, 0.9)
        await until(lambda: works(cluster), seconds=110, what="new calls")
        assert not call.ended
