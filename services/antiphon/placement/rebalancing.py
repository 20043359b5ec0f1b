"""Which live calls would do better at another edge, and by how much. Pure: signaling asks them to move.

A call's gain is what its edge costs, as it is, less what the other would cost with the call there. After the move the
same evidence speaks against the way back by the same number, so no call goes to and fro.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from antiphon.placement.members import obstacle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiphon.cluster import EdgeRecord
    from antiphon.placement.evidence import Evidence
    from antiphon.placement.ranking import Policy


@dataclass(frozen=True)
class Bounds:
    """How eager rebalancing is."""

    gain_ms: float
    """A call does not move for less."""
    stay_s: float
    """A call stays for so long after it came to its edge, or was asked to leave it."""
    most_full: float
    """No edge is filled beyond this share of its places."""


@dataclass(frozen=True)
class Stay:
    """A live call at its edge. Times are by one clock, in milliseconds."""

    session: str
    epoch: int
    edge: str
    since_ms: int
    """When it came to the edge."""
    evidence: Evidence
    """With round trips from edges to the worker that the call has, and keeps."""
    movable: bool = True
    """Whether its caller can move: it is in no room, and its client knows how."""
    asked_ms: int = 0
    """When it was asked last; 0 for never."""


@dataclass(frozen=True)
class Shift:
    """A call that is to move."""

    session: str
    epoch: int
    edge: str
    to: str
    gain_ms: float


@dataclass(frozen=True)
class Plan:
    """The greatest gains first."""

    shifts: tuple[Shift, ...] = ()
    stays: Mapping[str, int] = field(default_factory=dict)
    """How many calls stay where they are, by reason: near_enough, moved_lately, cannot_move, edge_unknown, no_room,
    later (it would gain, but others gain more)."""


def plan_shifts(
    policies: Sequence[Policy],
    stays: Sequence[Stay],
    edges: Sequence[EdgeRecord],
    bounds: Bounds,
    *,
    now_ms: int,
    most: int,
    pending: Sequence[tuple[str, str]] = (),
) -> Plan:
    """`most` calls at most. `pending` are moves under way, from one edge to another ('': it is counted there already):
    loads are taken as they will be. Each is weighed against those that the calls before it leave behind.
    """
    now_at = _settled(edges, pending)
    reasons: Counter[str] = Counter()
    wishes: list[tuple[float, Stay]] = []
    for stay in stays:
        why = _must_stay(stay, now_at, bounds, now_ms)
        if not why:
            gain_ms, _, why = _best(policies, stay, now_at, bounds)
            if not why:
                wishes.append((gain_ms, stay))
        if why:
            reasons[why] += 1
    wishes.sort(key=lambda wish: (-wish[0], wish[1].session))
    shifts: list[Shift] = []
    for _, stay in wishes:
        if len(shifts) >= most:
            reasons["later"] += 1
            continue
        gain_ms, target, why = _best(policies, stay, now_at, bounds)
        if why:
            reasons[why] += 1
            continue
        shifts.append(Shift(stay.session, stay.epoch, stay.edge, target, gain_ms))
        now_at[stay.edge] = _with(now_at[stay.edge], -1)
        now_at[target] = _with(now_at[target], 1)
    return Plan(tuple(shifts), dict(reasons))


def _settled(edges: Sequence[EdgeRecord], pending: Sequence[tuple[str, str]]) -> dict[str, EdgeRecord]:
    """Edges by id, once these moves are over."""
    found = {edge.id: edge for edge in edges}
    for left, came in pending:
        for name, more in ((left, -1), (came, 1)):
            if name in found:
                found[name] = _with(found[name], more)
    return found


def _must_stay(stay: Stay, edges: Mapping[str, EdgeRecord], bounds: Bounds, now_ms: int) -> str:
    if not stay.movable:
        return "cannot_move"
    if stay.edge not in edges:
        return "edge_unknown"
    if now_ms - max(stay.since_ms, stay.asked_ms) < 1000 * bounds.stay_s:
        return "moved_lately"
    return ""


def _best(
    policies: Sequence[Policy], stay: Stay, edges: Mapping[str, EdgeRecord], bounds: Bounds
) -> tuple[float, str, str]:
    """Gain in ms and edge, or why there is none."""
    here = _cost(policies, edges[stay.edge], stay.evidence)
    found: tuple[float, str] | None = None
    full = False
    for edge in edges.values():
        if edge.id == stay.edge or edge.draining:
            continue
        then = _with(edge, 1)
        gain_ms = here - _cost(policies, then, stay.evidence)
        if gain_ms < bounds.gain_ms:
            continue
        if obstacle(edge) or then.sessions > bounds.most_full * edge.capacity:
            full = True
        elif found is None or (gain_ms, edge.id) > found:
            found = gain_ms, edge.id
    if found is None:
        return 0.0, "", "no_room" if full else "near_enough"
    return *found, ""


def _cost(policies: Sequence[Policy], edge: EdgeRecord, evidence: Evidence) -> float:
    return sum(policy.cost(edge, evidence) for policy in policies)


def _with(edge: EdgeRecord, more: int) -> EdgeRecord:
    return replace(edge, sessions=max(0, edge.sessions + more))
