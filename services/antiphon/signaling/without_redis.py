"""Placement while Redis is away, where that is configured: from the last known membership, at this node's region alone.

Edges and workers admit by their own capacity meanwhile. What was placed is written once Redis is back.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from antiphon import telemetry
from antiphon.cluster import NO_WORKER, Claim, Membership
from antiphon.errors import NoEdgeError, NoWorkerError, StaleEpochError, UnavailableError
from antiphon.ids import new_session_id
from antiphon.signaling.metrics import WITHOUT_REDIS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiphon.cluster import Cluster

_log = telemetry.get_logger("signaling")
_MOST_WAITING = 10_000
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class _Placed:
    claim: Claim
    created_ms: int
    fields: Mapping[str, str | Mapping[str, Any]]


class WithoutRedis:
    """`region` is this node's, whose edges it may fill by itself; empty: nothing is placed without Redis."""

    def __init__(self, cluster: Cluster, region: str = "") -> None:
        self._cluster = cluster
        self._region = region
        self._waiting: deque[_Placed] = deque()
        self._arrived = asyncio.Event()

    @property
    def region(self) -> str:
        """Where it may place; empty: nowhere."""
        return self._region

    @property
    def waiting(self) -> int:
        """Sessions that Redis has not heard of yet."""
        return len(self._waiting)

    @property
    def ready(self) -> bool:
        """Whether there is somebody to place with while Redis is away."""
        known = self._cluster.known if self._region else None
        return known is not None and any(edge.region == self._region for edge in known.edges)

    def membership(self, error: UnavailableError | None = None) -> Membership | None:
        """Whom to place with: None while Redis is to be asked. With the error of asking it: raises that, or knows.

        Where the region has a Redis of its own, that one is meant.
        """
        known = self._cluster.known if self._region and (error is not None or self._cluster.away) else None
        if known is None and error is not None:
            raise error
        if known is None:
            return None
        return Membership(tuple(edge for edge in known.edges if edge.region == self._region), known.workers)

    def claim(self, members: Membership, *, agent: str, edges: Sequence[str], workers: Sequence[str]) -> Claim:
        """The best candidates, unseen: nobody else can give this session away. Raises NoEdgeError, NoWorkerError."""
        edge = next(filter(None, map(members.edge, edges)), None)
        worker = next(filter(None, map(members.worker, workers)), None) if agent else NO_WORKER
        if edge is None:
            raise NoEdgeError("Redis is away, and no edge of this region was there when it was last heard of")
        if worker is None:
            raise NoWorkerError(f"Redis is away, and no other worker with the agent {agent!r} is known")
        return Claim(new_session_id(edge.region), self._cluster.next_epoch(), edge, worker, written=False)

    def placed(self, claim: Claim, fields: Mapping[str, str | Mapping[str, Any]]) -> None:
        """An edge has it: Redis shall hear of it. Where too many wait, the oldest is left to what its edge tells."""
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            WITHOUT_REDIS.labels("given_up").inc()
        self._waiting.append(_Placed(claim, round(time.time() * 1000), fields))
        self._arrived.set()
        WITHOUT_REDIS.labels("placed").inc()

    async def run(self) -> None:
        """Follows the membership, and writes, until cancelled."""
        if not self._region and not self._cluster.several:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._write())

    async def _follow(self) -> None:
        async for _ in self._cluster.watch():
            pass  # the cluster keeps the last, and knows which region's Redis is away

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                one = self._waiting[0]
                try:
                    await self._cluster.session(one.claim.session).adopt(one.claim, one.created_ms, one.fields)
                except UnavailableError:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                except StaleEpochError:  # it has moved meanwhile, with what its caller knows
                    WITHOUT_REDIS.labels("stale").inc()
                else:
                    WITHOUT_REDIS.labels("written").inc()
                    _log.info("session written that was placed without Redis", session=one.claim.session)
                if self._waiting and self._waiting[0] is one:  # the bound may have pushed it out meanwhile
                    self._waiting.popleft()
