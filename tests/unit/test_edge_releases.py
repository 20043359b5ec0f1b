"""Ended sessions reach Redis, whatever happens to it, within bounds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from antiphon.edge.releases import Release, Releases
from antiphon.errors import StaleEpochError, UnavailableError
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Mapping


class Redis:
    """Takes releases while it is there."""

    def __init__(self, *, there: bool = True) -> None:
        self.there = there
        self.heard: list[str] = []

    def session(self, session_id: str) -> Remembered:
        return Remembered(self, session_id)


class Remembered:
    def __init__(self, redis: Redis, session_id: str) -> None:
        self._redis, self._id = redis, session_id

    async def release(self, epoch: int, outcome: Mapping[str, Any], *, lost: bool, edge: str) -> None:
        await asyncio.sleep(0)
        if not self._redis.there:
            msg = "connection refused"
            raise UnavailableError(msg)
        if self._id == "moved":
            msg = "a newer owner has it"
            raise StaleEpochError(msg)
        self._redis.heard.append(self._id)


async def test_releases_wait_for_redis_and_keep_their_order() -> None:
    redis = Redis(there=False)
    releases = Releases(redis, pause=0.01, longest_pause=0.02)
    running = asyncio.create_task(releases.run())
    for name in ("a", "b", "c"):
        releases.add(Release(name, 1))
    await until(lambda: releases.retries >= 2)
    assert len(releases) == 3
    redis.there = True
    await until(lambda: len(releases) == 0)
    running.cancel()
    assert redis.heard == ["a", "b", "c"]
    assert releases.done == 3


async def test_the_oldest_is_given_up_at_the_bound() -> None:
    redis = Redis()
    releases = Releases(redis, most=2)
    for name in ("a", "b", "c"):
        releases.add(Release(name, 1))
    await releases.finish(10)
    assert redis.heard == ["b", "c"]
    assert releases.given_up == 1


async def test_a_stopping_edge_does_not_wait_for_redis_for_ever() -> None:
    releases = Releases(Redis(there=False), pause=0.01)
    releases.add(Release("a", 1))
    await releases.finish(0.05)
    assert releases.given_up == 1


async def test_a_session_that_moved_on_is_not_released_here() -> None:
    redis = Redis()
    releases = Releases(redis)
    releases.add(Release("moved", 1))
    releases.add(Release("a", 1))
    await releases.finish(10)
    assert redis.heard == ["a"]
    assert (releases.done, releases.refused) == (1, 1)
