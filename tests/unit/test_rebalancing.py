"""Rebalancing: what is worth a move, and a real node, Valkey and worker's registration between order and move."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from antiphon.cli.rebalance import in_words
from antiphon.cluster import Cluster
from antiphon.cluster.embedded import EmbeddedValkey
from antiphon.placement import Bounds, Evidence, Place, Shift, Stay, plan_shifts, policies_named
from tests.support.edge_double import EdgeDouble, serving
from tests.support.members import edge, kept, worker
from tests.support.signaling import OFFER, SDP, signaling
from tests.support.tasks import end
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx

    from antiphon.cluster import EdgeRecord

NEAREST = policies_named("nearest")
BOUNDS = Bounds(gain_ms=20.0, stay_s=600.0, most_full=0.8)
REGIONS = ("frankfurt", "virginia", "tokyo")
LATER = 10_000_000


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Stay], list[EdgeRecord]]:
    """Calls that are where anybody might have put them."""
    capacities = draw(st.lists(st.integers(1, 12), min_size=2, max_size=5))
    edges = [
        edge(f"edge-{at}", region=REGIONS[at % 3], capacity=capacity, draining=draw(st.booleans()) and at > 1)
        for at, capacity in enumerate(capacities)
    ]
    stays = []
    taken = dict.fromkeys((one.id for one in edges), 0)
    for number in range(draw(st.integers(0, 20))):
        at = draw(st.sampled_from(edges))
        if taken[at.id] >= at.capacity:
            continue
        taken[at.id] += 1
        measured = {region: float(draw(st.integers(1, 300))) for region in REGIONS}
        evidence = Evidence(Place(50.0, 8.0), "", measured=measured)
        stays.append(
            Stay(f"ses_{number:02}", 1, at.id, draw(st.integers(0, LATER)), evidence, movable=draw(st.booleans()))
        )
    return stays, [replace(one, sessions=taken[one.id]) for one in edges]


def carried_out(stays: list[Stay], edges: list[EdgeRecord], shifts: tuple[Shift, ...], now_ms: int) -> Any:
    """The world after these moves."""
    to = {shift.session: shift.to for shift in shifts}
    moved = [replace(s, edge=to[s.session], since_ms=now_ms) if s.session in to else s for s in stays]
    counts = [one.edge for one in moved]
    return moved, [replace(one, sessions=counts.count(one.id)) for one in edges]


@given(world=worlds(), most=st.integers(0, 6))
def test_no_more_than_may_be_and_never_to_an_edge_that_drains_or_is_full(
    world: tuple[list[Stay], list[EdgeRecord]], most: int
) -> None:
    stays, edges = world
    plan = plan_shifts(NEAREST, stays, edges, BOUNDS, now_ms=LATER, most=most)
    assert len(plan.shifts) <= most
    assert len(plan.shifts) + sum(plan.stays.values()) == len(stays)
    by_id, by_session = {one.id: one for one in edges}, {stay.session: stay for stay in stays}
    _, after = carried_out(stays, edges, plan.shifts, LATER)
    counts = {one.id: one.sessions for one in after}
    for shift in plan.shifts:
        stay = by_session[shift.session]
        assert stay.movable
        assert LATER - stay.since_ms >= 600_000
        assert shift.to != shift.edge
        assert shift.gain_ms >= BOUNDS.gain_ms
        assert not by_id[shift.to].draining
        came = sum(other.to == shift.to for other in plan.shifts)
        left = sum(other.edge == shift.to for other in plan.shifts)
        assert counts[shift.to] == by_id[shift.to].sessions + came - left
        assert counts[shift.to] + left <= max(by_id[shift.to].sessions + came, 0)
        assert counts[shift.to] <= BOUNDS.most_full * by_id[shift.to].capacity


@given(world=worlds())
def test_with_the_same_evidence_no_call_goes_back_and_moves_come_to_an_end(
    world: tuple[list[Stay], list[EdgeRecord]],
) -> None:
    stays, edges = world
    now_ms, came_from = LATER, set[tuple[str, str]]()
    for _ in range(4 * len(stays) + 2):
        plan = plan_shifts(NEAREST, stays, edges, BOUNDS, now_ms=now_ms, most=1)
        if not plan.shifts:
            break
        (shift,) = plan.shifts
        back = plan_shifts(
            NEAREST,
            [replace(s, edge=shift.to, since_ms=0) for s in stays if s.session == shift.session],
            carried_out(stays, edges, plan.shifts, now_ms)[1],
            BOUNDS,
            now_ms=now_ms,
            most=1,
        )
        assert all(one.to != shift.edge for one in back.shifts), "not back to where it came from"
        came_from.add((shift.session, shift.edge))
        stays, edges = carried_out(stays, edges, plan.shifts, now_ms)
        now_ms += 700_000
    assert not plan_shifts(NEAREST, stays, edges, BOUNDS, now_ms=now_ms, most=1).shifts, "it comes to rest"


@given(world=worlds())
def test_who_came_or_was_asked_lately_stays(world: tuple[list[Stay], list[EdgeRecord]]) -> None:
    stays, edges = world
    lately = [replace(stay, since_ms=0, asked_ms=LATER - 599_000) for stay in stays]
    assert not plan_shifts(NEAREST, lately, edges, BOUNDS, now_ms=LATER, most=100).shifts


def test_the_greatest_gain_comes_first_and_the_others_wait() -> None:
    far = Evidence(Place(50.0, 8.0), "", measured={"frankfurt": 10.0, "tokyo": 240.0})
    nearer = Evidence(Place(50.0, 8.0), "", measured={"frankfurt": 60.0, "tokyo": 100.0})
    stays = [Stay("ses_a", 1, "edge-t", 0, nearer), Stay("ses_b", 1, "edge-t", 0, far)]
    edges = [edge("edge-f", region="frankfurt"), edge("edge-t", region="tokyo", sessions=2)]
    plan = plan_shifts(NEAREST, stays, edges, BOUNDS, now_ms=LATER, most=1)
    assert [(shift.session, shift.to, round(shift.gain_ms)) for shift in plan.shifts] == [("ses_b", "edge-f", 230)]
    assert plan.stays == {"later": 1}


def test_moves_under_way_count_as_done() -> None:
    evidence = Evidence(Place(50.0, 8.0), "", measured={"frankfurt": 10.0})
    edges = [edge("edge-a", capacity=4, sessions=2), edge("edge-b", capacity=4)]
    policies = policies_named("least_loaded")
    bounds = Bounds(gain_ms=100.0, stay_s=600.0, most_full=0.8)
    stays = [Stay("ses_a", 1, "edge-a", 0, evidence, asked_ms=LATER), Stay("ses_b", 1, "edge-a", 0, evidence)]
    assert len(plan_shifts(policies, stays, edges, bounds, now_ms=LATER, most=9).shifts) == 1
    going = [("edge-a", "edge-b")]
    assert not plan_shifts(policies, stays, edges, bounds, now_ms=LATER, most=9, pending=going).shifts
    both = [replace(edges[0], sessions=2), replace(edges[1], sessions=1)]  # it is at both for a moment
    assert not plan_shifts(policies, stays[1:], both, bounds, now_ms=LATER, most=9, pending=[("edge-a", "")]).shifts


EAGER = {"placement": {"rebalance": {"enabled": True, "stay_s": 1, "every_s": 0.2, "moves_per_minute": 6000}}}
RTTS = {"tokyo": 240, "frankfurt": 8}
TOKYO = {"region": "tokyo", "latitude": 35.68, "longitude": 139.69}


class Site:
    """A node, edges in frankfurt and tokyo, and a worker that hears whom it is to ask."""

    def __init__(self, cluster: Cluster, http: httpx.AsyncClient) -> None:
        self.cluster, self.http = cluster, http
        self.asked: list[str] = []
        self.live: dict[str, int] = {}

    async def call(self, **wishes: Any) -> dict[str, Any]:
        reply = await self.http.post("/v1/sessions", json={"sdp": OFFER, "agent": "parrot", **wishes})
        told: dict[str, Any] = reply.json()
        self.live[told["id"]] = told["epoch"]
        return told


@asynccontextmanager
async def site(**sections: Any) -> AsyncIterator[Site]:
    """Only the edge in tokyo is there at first."""
    near, far = EdgeDouble(), EdgeDouble()
    async with (
        EmbeddedValkey() as valkey,
        serving(far) as far_control,
        serving(near) as near_control,
        Cluster(valkey.url) as cluster,
        kept(cluster, edge("edge-t", control=far_control, **TOKYO)),
        signaling(valkey, **sections) as http,
    ):
        here = Site(cluster, http)
        here.comes = lambda: kept(cluster, edge("edge-f", control=near_control))  # type: ignore[attr-defined]
        keeping = asyncio.create_task(cluster.keep(worker, asked=here.asked.extend))
        await until(lambda: _there(cluster, "worker-a"))
        yield here
        await end(keeping)


async def _there(cluster: Cluster, name: str) -> bool:
    return name in (await cluster.members()).ids


async def test_a_call_is_asked_to_come_to_the_edge_that_is_nearer_and_goes_there_and_nowhere_else() -> None:
    async with site(**EAGER) as here:
        far = await here.call(rtts=RTTS)
        room = await here.call(rtts=RTTS, room="lobby")
        bare = await here.http.post("/v1/sessions?agent=parrot", content=OFFER, headers=SDP)
        assert bare.status_code == 201
        async with here.comes():  # type: ignore[attr-defined]
            await until(lambda: far["id"] in here.asked)
            record = await here.cluster.session(far["id"]).record()
            assert record is not None
            assert record.move_to == "edge-f"
            reply = await here.http.post(f"/v1/sessions/{far['id']}:move", json={"sdp": OFFER})
            assert (reply.status_code, reply.json()["edge"]) == (200, "edge-f")
            told = await here.http.get("/v1/events", params={"for_s": 0}, headers={"Last-Event-ID": "0-0"})
            assert '"reason": "rebalance"' in told.text
            plan = (await here.http.get("/v1/placements:rebalance")).json()
            assert plan["moves"] == []
            assert plan["stays"]["cannot_move"] == 2, "a member of a room, and a client that knows of no moves"
            assert room["id"] not in here.asked
            assert here.asked == [far["id"]]
            assert "live calls are better off elsewhere, and are asked" in in_words(plan)
            metrics = (await here.http.get("/metrics")).text
            assert 'antiphon_signaling_moves_total{why="rebalanced"}' in metrics


async def test_what_would_be_done_is_told_and_nothing_done_where_it_is_off() -> None:
    off = {"placement": {"rebalance": {"stay_s": 1}}}
    async with site(**off) as here:
        far = await here.call(rtts=RTTS)
        async with here.comes():  # type: ignore[attr-defined]

            async def planned() -> bool:
                plan = (await here.http.get("/v1/placements:rebalance")).json()
                moves: list[Mapping[str, Any]] = plan["moves"]
                assert not plan["enabled"]
                return [(one["session"], one["edge"], one["to"]) for one in moves] == [(far["id"], "edge-t", "edge-f")]

            await until(planned)
            assert here.asked == []
            record = await here.cluster.session(far["id"]).record()
            assert record is not None
            assert record.move_to == ""


async def test_an_order_is_for_the_epoch_that_it_was_given_for() -> None:
    async with site() as here:
        call = await here.call()
        assert not await here.cluster.session(call["id"]).order_move(call["epoch"] - 1, "edge-t")
        assert await here.cluster.session(call["id"]).order_move(call["epoch"], "edge-x")
        await until(lambda: here.asked == [call["id"]])
        reply = await here.http.post(f"/v1/sessions/{call['id']}:move", json={"sdp": OFFER})
        assert (reply.status_code, reply.json()["code"]) == (503, "no_edge"), "edge-x is not there: it stays"
        reply = await here.http.post(f"/v1/sessions/{call['id']}:move", json={"sdp": OFFER, "lost": ["edge-x"]})
        assert reply.status_code == 200, "who has lost its edge goes where there is room"
