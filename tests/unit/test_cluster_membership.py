"""Who is there: against a real server, which is killed and comes back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from antiphon.cluster import Cluster, Membership
from antiphon.errors import UnavailableError
from tests.support.members import edge, kept, members, worker
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.cluster.embedded import EmbeddedValkey


async def next_with(changes: AsyncIterator[Membership], *names: str) -> Membership:
    async with asyncio.timeout(10):
        async for found in changes:
            if found.ids == set(names):
                return found
    raise AssertionError("the watch ended")


async def test_members_come_and_leave_and_watchers_hear_at_once(
    server: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.cluster.watch.RENEW_S", 3600.0)  # nothing is polled: what is heard was pushed
    async with Cluster(server.url) as cluster:
        changes = cluster.watch()
        await next_with(changes)
        async with kept(cluster, edge(), worker()):
            found = await next_with(changes, "edge-a", "worker-a")
            assert found.edges == (edge(),)
            assert found.workers == (worker(),)
            assert cluster.known == found
        await next_with(changes)


async def test_a_member_that_is_stopped_while_it_registers_leaves_all_the_same(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, Cluster(server.url) as other:
        call, written = other.common._functions.call, asyncio.Event()

        async def slow(name: str, *arguments: Any) -> Any:
            reply = await call(name, *arguments)
            if name == "renew":
                written.set()
                await asyncio.sleep(0.2)
            return reply

        other.common._functions.call = slow  # type: ignore[method-assign]
        keeping = asyncio.create_task(other.keep(edge))
        await written.wait()
        assert await cluster.edges() == [edge()]
        keeping.cancel()
        await asyncio.wait([keeping])
        assert await cluster.edges() == []


async def test_a_member_that_falls_silent_is_gone_after_its_lease(server: EmbeddedValkey) -> None:
    async with (
        Cluster(server.url, lease_s=0.3) as cluster,
        Cluster(server.url, lease_s=0.3) as other,
        kept(cluster, edge()),
    ):
        silent = asyncio.create_task(other.keep(worker))
        await until(lambda: _there(cluster, "edge-a", "worker-a"))
        await other.common._functions.close()
        other.common._functions = _Deaf()  # type: ignore[assignment]
        await until(lambda: _there(cluster, "edge-a"))
        silent.cancel()
        with suppress(asyncio.CancelledError):
            await silent


class _Deaf:
    async def call(self, *_: object) -> None:
        raise UnavailableError("cut off")

    async def close(self) -> None:
        return None


async def _there(cluster: Cluster, *names: str) -> bool:
    return await members(cluster) == set(names)


async def test_changed_records_reach_watchers(server: EmbeddedValkey) -> None:
    current = edge()
    async with Cluster(server.url) as cluster:
        keeping = asyncio.create_task(cluster.keep(lambda: current))
        changes = cluster.watch()
        await next_with(changes, "edge-a")
        current = edge(draining=True)
        async with asyncio.timeout(5):
            async for found in changes:
                if found.edges[0].draining:
                    break
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def test_an_outage_keeps_the_last_known_and_members_return_by_themselves(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster:
        seen: list[frozenset[str]] = []

        async def watch() -> None:
            async for found in cluster.watch():
                seen.append(found.ids)  # noqa: PERF401 - it never ends

        async with kept(cluster, edge(), worker()):
            watching = asyncio.create_task(watch())
            await until(lambda: seen and seen[-1] == {"edge-a", "worker-a"})
            await server.kill()
            with pytest.raises(UnavailableError):
                await cluster.members()
            await asyncio.sleep(1.5)
            seen.clear()
            await server.start()  # empty, without functions
            await until(lambda: _back(cluster))
            await asyncio.sleep(1.2)
            assert all(names == {"edge-a", "worker-a"} for names in seen), "members must not flicker"
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def _back(cluster: Cluster) -> bool:
    with suppress(UnavailableError):
        return await members(cluster) == {"edge-a", "worker-a"}
    return False


async def test_those_who_do_not_return_after_a_loss_of_memory_are_gone_in_the_end(
    server: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.cluster.watch.LEASE_S", 0.5)
    async with Cluster(server.url) as cluster, Cluster(server.url) as redis_user:
        changes = cluster.watch()
        async with kept(redis_user, edge()):
            lost = asyncio.create_task(redis_user.keep(worker))
            await next_with(changes, "edge-a", "worker-a")
            lost.cancel()
            async with Redis.from_url(server.url) as redis:
                await redis.flushall()
            with suppress(asyncio.CancelledError):
                await lost
            await next_with(changes, "edge-a")


async def test_of_two_processes_under_one_id_the_later_has_it(server: EmbeddedValkey) -> None:
    earlier, later = edge(control="127.0.0.1:1"), edge(control="127.0.0.1:2")
    async with Cluster(server.url) as first, Cluster(server.url) as second, kept(first, earlier):
        async with kept(second, later):
            await until(lambda: _control(first, later.control))
            await asyncio.sleep(1.2)  # the earlier renews meanwhile
            assert await first.edges() == [later]
        await until(lambda: _control(first, earlier.control))


async def _control(cluster: Cluster, address: str) -> bool:
    return [one.control for one in await cluster.edges()] == [address]


async def test_errors_do_not_show_the_password() -> None:
    async with Cluster("redis://user:hunter2@127.0.0.1:1/0") as cluster:
        with pytest.raises(UnavailableError) as caught:
            await cluster.members()
    assert "hunter2" not in str(caught.value)


async def test_a_crowd_of_callers_waits_its_turn(server: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    for deadline in ("functions.CALL_S", "connecting.CALL_S", "connecting.SOCKET_S"):
        monkeypatch.setattr(f"antiphon.cluster.{deadline}", 60.0)  # whose turn it is, not how fast this machine is
    async with Cluster(server.url) as cluster, kept(cluster, edge()):
        crowd = await asyncio.gather(*(cluster.edges() for _ in range(300)))
        assert all(found == [edge()] for found in crowd)


async def test_cells_that_share_a_redis_do_not_mix(server: EmbeddedValkey) -> None:
    async with Cluster(server.url, cell="eu") as eu, Cluster(server.url, cell="us") as us, kept(eu, edge()):
        assert await us.edges() == []


async def test_keeping_and_watching_end_at_once_whenever_they_are_cancelled(server: EmbeddedValkey) -> None:
    async def come_and_go(number: int) -> None:
        async with Cluster(server.url, cell=str(number)) as cluster:
            keeping = asyncio.create_task(cluster.keep(edge))
            await next_with(cluster.watch(), "edge-a")
            await asyncio.sleep(number * 0.0001)
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    for _ in range(5):
        async with asyncio.timeout(10):
            await asyncio.gather(*(come_and_go(number) for number in range(20)))


async def test_a_member_that_cannot_be_read_does_not_end_the_watch(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, Redis.from_url(server.url) as redis:
        seen: list[frozenset[str]] = []

        async def follow() -> None:
            async for membership in cluster.watch():
                seen.append(membership.ids)  # noqa: PERF401 - it never ends

        following = asyncio.create_task(follow())
        async with kept(cluster, worker()):
            await until(lambda: seen and "worker-a" in seen[-1])
            await redis.zadd("{antiphon:all}:leases:worker", {"strange": 9e15})
            await redis.hset("{antiphon:all}:members:worker", "strange", '{"id": "strange"}')
            await asyncio.sleep(1.2)
            await redis.zrem("{antiphon:all}:leases:worker", "strange")
            async with kept(cluster, worker("worker-b")):
                await until(lambda: "worker-b" in seen[-1])
        following.cancel()
