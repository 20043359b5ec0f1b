"""Asks live calls to come to a nearer or emptier edge: one node at a time looks, a few calls a minute are asked.

What is worth a move is placement/rebalancing.py's business; a call moves as when its edge drains (docs/failure.md).
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from antiphon import telemetry
from antiphon.errors import UnavailableError
from antiphon.placement import Bounds, Evidence, Link, Place, Plan, Stay, plan_shifts
from antiphon.signaling.metrics import REBALANCE_STAYS, REBALANCED
from antiphon.signaling.openapi import problems_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiphon.cluster import Cluster, EdgeRecord, LiveCall, RoundTrip
    from antiphon.config_placement import RebalanceConfig
    from antiphon.placement import Policy

_log = telemetry.get_logger("signaling")
_PAGE = 256
_MOST_CALLS = 4096
"""Calls that one look weighs; the next goes on behind them."""
_MOST_TOLD = 100
_LEAD_S = 5.0
_REASONS = ("near_enough", "moved_lately", "cannot_move", "edge_unknown", "no_room", "later")


class Rebalancer:
    """`run` does it where it is enabled, and `plan` says what would be done."""

    def __init__(self, config: RebalanceConfig, cluster: Cluster, policies: Sequence[Policy], node: str) -> None:
        self._config = config
        self._cluster = cluster
        self._policies = policies
        self._node = f"{node}-{secrets.token_hex(4)}"
        self._bounds = Bounds(config.gain_ms, config.stay_s, config.most_full)
        self._interval_s = 60.0 / config.moves_per_minute
        self._cursors: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled. Returns at once where it is not enabled."""
        while self._config.enabled:
            try:
                if await self._leads():
                    await self._step()
            except UnavailableError as error:
                _log.warning("calls are not rebalanced", error=str(error))
            await asyncio.sleep(self._config.every_s)

    async def plan(self, most: int = _MOST_TOLD) -> tuple[Plan, int]:
        """What would be done at this moment, and how many live calls were weighed. Raises UnavailableError."""
        return await self._plan({}, most)

    async def _leads(self) -> bool:
        return await self._cluster.lead("rebalance", self._node, self._config.every_s + _LEAD_S)

    async def _step(self) -> None:
        """Those that it asks are spread over the time until the next look."""
        plan, _ = await self._plan(self._cursors, max(1, int(self._config.every_s / self._interval_s)))
        for reason in _REASONS:
            REBALANCE_STAYS.labels(reason).set(plan.stays.get(reason, 0))
        for shift in plan.shifts:
            if wait_s := await self._cluster.admit_in_all("rebalance", self._interval_s):
                await asyncio.sleep(min(wait_s, self._interval_s))
                if not await self._leads() or await self._cluster.admit_in_all("rebalance", self._interval_s):
                    REBALANCED.labels("rate").inc()
                    return
            asked = await self._cluster.session(shift.session).order_move(shift.epoch, shift.to)
            REBALANCED.labels("asked" if asked else "stale").inc()
            if asked:
                _log.info(
                    "session asked to move",
                    session=shift.session,
                    edge=shift.edge,
                    to=shift.to,
                    gain_ms=round(shift.gain_ms, 1),
                )

    async def _plan(self, cursors: dict[str, str], most: int) -> tuple[Plan, int]:
        calls, now_ms = await self._calls(cursors)
        edges = (await self._cluster.members()).edges
        learned = await self._learned(calls)
        stays = [
            _stay(call, edges, learned.get(call.networks, {}), now_ms.get(call.id, 0))
            for call in calls
            if not call.leaving
        ]
        pending = [(call.edge, call.move_to) for call in calls if call.move_to]
        pending += [(call.leaving, "") for call in calls if call.leaving]
        plan = plan_shifts(self._policies, stays, edges, self._bounds, now_ms=0, most=most, pending=pending)
        return plan, len(calls)

    async def _calls(self, cursors: dict[str, str]) -> tuple[list[LiveCall], dict[str, int]]:
        """Each cell in turn, and by call the time (ms) of the Redis that told of it. One that is away has none."""
        found: dict[str, LiveCall] = {}
        now_ms: dict[str, int] = {}
        for cell in self._cluster.cells:
            cursor, some = cursors.get(cell.name, "0"), 0
            while some < _MOST_CALLS and not cell.away:
                try:
                    cursor, now, calls = await cell.live_calls(cursor, _PAGE)
                except UnavailableError:
                    if not self._cluster.several:
                        raise
                    break
                some += len(calls)
                found |= {call.id: call for call in calls}
                now_ms |= dict.fromkeys((call.id for call in calls), now)
                if cursor == "0":
                    break
            cursors[cell.name] = cursor
        return list(found.values()), now_ms

    async def _learned(self, calls: Sequence[LiveCall]) -> Mapping[tuple[str, ...], Mapping[str, RoundTrip]]:
        networks = {call.networks for call in calls if call.networks and call.movable}
        return {some: await self._cluster.round_trips.learned(some) for some in networks}


def _stay(call: LiveCall, edges: Sequence[EdgeRecord], learned: Mapping[str, RoundTrip], now_ms: int) -> Stay:
    """With times told as how long ago they were, since each Redis has a clock of its own."""
    regions = {edge.region for edge in edges}
    place, asked = call.evidence.get("place"), str(call.evidence.get("asked", ""))
    evidence = Evidence(
        Place(*place) if place else None,
        "",
        asked if asked in regions else "",
        {region: ms for region, ms in call.evidence.get("measured", {}).items() if region in regions},
        learned,
        {edge.id: Link(call.worker, edge.links.get(call.worker)) for edge in edges},
    )
    return Stay(
        call.id,
        call.epoch,
        call.edge,
        since_ms=call.since_ms - now_ms,
        evidence=evidence,
        movable=call.movable and not call.room and bool(call.evidence),
        asked_ms=call.asked_ms - now_ms if call.asked_ms else call.since_ms - now_ms,
    )


class ShiftDocument(BaseModel):
    """A call that would be asked to move."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    session: str
    edge: str
    to: str
    gain_ms: float
    """By how much less it costs there."""


class RebalancePlan(BaseModel):
    """What rebalancing would do at this moment; nothing is done."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "enabled": True,
                    "calls": 812,
                    "moves": [
                        {
                            "session": "ses_frankfurt_3k9v0c7w1h5t2n8qzx4d",
                            "edge": "edge-virginia",
                            "to": "edge-frankfurt",
                            "gain_ms": 84.2,
                        }
                    ],
                    "stays": {"near_enough": 803, "moved_lately": 8},
                }
            ]
        },
    )

    enabled: bool
    """Whether it is done, a few a minute: `placement.rebalance.enabled`."""
    calls: int
    """Live calls that were weighed."""
    moves: list[ShiftDocument]
    """The greatest gains first, 100 at most."""
    stays: dict[str, int]
    """Calls that stay, by reason: near_enough, moved_lately, cannot_move, edge_unknown, no_room, later."""


def rebalance_routes(config: RebalanceConfig, rebalancer: Rebalancer) -> APIRouter:
    """The one route."""
    router = APIRouter(prefix="/v1", tags=["placement"], responses=problems_of(_503="unavailable"))

    @router.get(
        "/placements:rebalance",
        summary="Tell which live calls would be better off at another edge, and why the others stay",
        description="Nothing is done, also where rebalancing is not enabled.",
    )
    async def would_rebalance() -> RebalancePlan:
        plan, calls = await rebalancer.plan()
        moves: list[dict[str, Any]] = [
            {"session": one.session, "edge": one.edge, "to": one.to, "gain_ms": round(one.gain_ms, 1)}
            for one in plan.shifts
        ]
        return RebalancePlan(
            enabled=config.enabled,
            calls=calls,
            moves=[ShiftDocument(**move) for move in moves],
            stays=dict(plan.stays),
        )

    return router
