"""Draining: an order in the cluster's memory, what members make of it, and how people give it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from antiphon.cli.drain import seconds_of
from antiphon.cluster import Cluster, Drain, Draining, serve_until_drained
from antiphon.errors import NoEdgeError, UnknownMemberError
from tests.support.members import edge, kept, worker
from tests.support.signaling import signaling
from tests.support.tasks import end
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.cluster.embedded import EmbeddedValkey


@asynccontextmanager
async def obeying(cluster: Cluster, name: str = "edge-a") -> AsyncIterator[Draining]:
    """An edge that does as it is ordered."""
    draining = Draining(lambda: None)

    def record() -> Any:
        return edge(name, draining=draining.active, drain=draining.order)

    task = asyncio.create_task(cluster.keep(record, drain=draining.hear))

    async def there() -> bool:
        return name in (await cluster.members()).ids

    try:
        await until(there)
        yield draining
    finally:
        draining.close()
        await end(task)


async def claim(cluster: Cluster, session: str) -> object:
    return await cluster.claim(session, agent="echo", edges=["edge-a"], workers=["worker-a"])


async def test_nothing_is_placed_from_the_moment_of_the_order_and_again_once_it_is_taken_back(
    server: EmbeddedValkey,
) -> None:
    async with Cluster(server.url) as cluster, obeying(cluster) as draining, kept(cluster, worker()):
        await claim(cluster, "ses_1")
        order = await cluster.drain("edge", "edge-a", 600)
        assert order.until_ms - order.since_ms == 600_000
        assert order.sessions == 1
        with pytest.raises(NoEdgeError, match="edge-a draining"):
            await claim(cluster, "ses_2")
        (seen,) = (await cluster.members()).edges
        assert (seen.draining, seen.drain, seen.sessions) == (True, order, 1)
        await until(lambda: draining.order == order)
        await cluster.undrain("edge", "edge-a")
        await until(lambda: not draining.active)

        async def takes() -> bool:
            return not (await cluster.members()).edges[0].draining

        await until(takes)
        await claim(cluster, "ses_2")


async def test_an_order_said_again_only_changes_the_deadline(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, worker()):
        first = await cluster.drain("worker", "worker-a", 600)
        second = await cluster.drain("worker", "worker-a", 60)
        assert second.since_ms == first.since_ms
        assert second.until_ms < first.until_ms


async def test_who_is_not_there_cannot_be_ordered(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster:
        with pytest.raises(UnknownMemberError, match="no live edge edge-x"):
            await cluster.drain("edge", "edge-x", 1)
        with pytest.raises(UnknownMemberError):
            await cluster.undrain("worker", "worker-x")


async def test_an_order_outlives_a_loss_of_all_data(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, obeying(cluster) as draining, kept(cluster, worker()):
        order = await cluster.drain("edge", "edge-a", 600)
        await until(lambda: draining.order == order)
        await until(lambda: _told(cluster, order))
        async with Redis.from_url(server.url) as redis:
            await redis.flushall()

        async def back() -> bool:
            return {"edge-a", "worker-a"} <= (await cluster.members()).ids

        await until(back)
        assert (await cluster.members()).edges[0].drain == order
        with pytest.raises(NoEdgeError):
            await claim(cluster, "ses_1")
        assert draining.order == order


async def _told(cluster: Cluster, order: Drain) -> bool:
    """Whether the member itself says in its record that it was ordered."""
    text = await (await cluster.common._functions._redis.server("")).hget(
        f"{cluster.common._functions.prefix}:members:edge", "edge-a"
    )
    return str(order.until_ms) in str(text)


async def test_a_new_start_of_a_member_knows_nothing_of_the_order(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster:
        async with kept(cluster, edge()):
            await cluster.drain("edge", "edge-a", 600)
        async with kept(cluster, edge()):
            assert not (await cluster.members()).edges[0].draining


async def test_at_the_deadline_what_is_left_is_ended_once() -> None:
    ended: list[int] = []
    over = asyncio.Event()

    def end() -> None:
        ended.append(1)
        over.set()

    draining = Draining(end)
    order = Drain(since_ms=1_000, until_ms=1_050, sessions=3)
    draining.hear(order, now_ms=1_000)
    draining.hear(order, now_ms=1_020)
    async with asyncio.timeout(10):
        await over.wait()
    draining.hear(order, now_ms=2_000)
    await asyncio.sleep(0)
    assert ended == [1]
    assert draining.active


async def test_an_order_that_is_taken_back_ends_nobody() -> None:
    ended: list[int] = []
    draining = Draining(lambda: ended.append(1))
    draining.hear(Drain(0, 20, 1), now_ms=0)
    draining.hear(None, now_ms=1)
    await asyncio.sleep(0.05)
    assert not ended
    assert not draining.active


async def test_a_service_that_is_stopped_serves_on_until_its_sessions_are_gone() -> None:
    sessions, gone, serves = [1], asyncio.Event(), asyncio.Event()
    draining = Draining(lambda: None)

    async def serve() -> None:
        serves.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(
        serve_until_drained(
            serve(), draining, seconds=60, sessions=lambda: len(sessions), empty=gone.wait, told=lambda: None
        )
    )
    await serves.wait()
    running.cancel()
    await until(lambda: draining.active)
    draining.hear(None, 0)
    assert draining.active, "nobody takes back that a process stops"
    assert not running.done()
    gone.set()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_api_drains_tells_how_far_it_is_and_takes_it_back(valkey: EmbeddedValkey) -> None:
    async with Cluster(valkey.url) as cluster, signaling(valkey) as http, kept(cluster, edge(), worker()):
        await claim(cluster, "ses_1")
        for kind, name in (("edges", "edge-a"), ("workers", "worker-a")):
            told = (await http.post(f"/v1/{kind}/{name}:drain", json={"deadline_s": 60})).json()
            assert told["draining"] is True
            assert told["drain"]["until_ms"] - told["drain"]["since_ms"] == 60_000
            assert (told["sessions"], told["drain"]["sessions_before"]) == (1, 1)
            listed = (await http.get(f"/v1/{kind}")).json()[kind][0]
            assert listed == told
            back = await http.post(f"/v1/{kind}/{name}:undrain")
            assert (back.status_code, back.json()["drain"]) == (200, None)


async def test_without_a_body_a_drain_lasts_ten_minutes(valkey: EmbeddedValkey) -> None:
    async with Cluster(valkey.url) as cluster, signaling(valkey) as http, kept(cluster, edge()):
        told = (await http.post("/v1/edges/edge-a:drain")).json()["drain"]
        assert told["until_ms"] - told["since_ms"] == 600_000


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/edges/edge-x:drain", {}, 404, "unknown_member"),
        ("/v1/workers/edge-a:drain", {}, 404, "unknown_member"),
        ("/v1/edges/edge-x:undrain", None, 404, "unknown_member"),
        ("/v1/edges/edge-a:drain", {"deadline_s": False}, 400, "bad_request"),
        ("/v1/edges/edge-a:drain", {"deadline_s": "60"}, 400, "bad_request"),
        ("/v1/edges/edge-a:drain", {"deadline_s": -1}, 400, "bad_request"),
        ("/v1/edges/edge-a:drain", {"deadline_s": 1e9}, 400, "bad_request"),
        ("/v1/edges/edge-a:drain", {"until": 3}, 400, "bad_request"),
        ("/v1/edges/edge-a:drain", "soon", 400, "bad_request"),
        ("/v1/edges/EDGE:drain", {}, 400, "bad_request"),
        ("/v1/edges/edge-a:stop", {}, 404, "not_found"),
    ],
)
async def test_what_cannot_be_done_is_told(
    valkey: EmbeddedValkey, path: str, body: Any, status: int, code: str
) -> None:
    async with Cluster(valkey.url) as cluster, signaling(valkey) as http, kept(cluster, edge()):
        response = await http.post(path, json=body)
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert response.headers["content-type"] == "application/problem+json"


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_durations_are_read_as_people_write_them(hours: int, minutes: int, seconds: int) -> None:
    assert seconds_of(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds
    assert seconds_of(f"{minutes}m") == 60 * minutes
    assert seconds_of(str(seconds)) == seconds


@given(st.text(max_size=12))
def test_what_is_no_duration_is_told(text: str) -> None:
    refused = None
    try:
        assert 0 <= seconds_of(text) <= 86_400
    except ValueError as error:
        refused = error
    assert refused is None or "--deadline" in str(refused)
