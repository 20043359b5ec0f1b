"""Looks round before a session is placed: who is there, what is known of the caller, and how candidates compare."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

from antiphon import telemetry
from antiphon.cluster import Membership
from antiphon.config_auth import DEFAULT_PROJECT
from antiphon.errors import NoWorkerError, UnavailableError, UnknownAgentError
from antiphon.ids import scoped_room
from antiphon.placement import (
    NOBODY,
    Distances,
    Evidence,
    Origin,
    Ranking,
    gather,
    networks_of,
    rank_edges,
    rank_workers,
)
from antiphon.signaling.joining import agent_of, but, leads, only
from antiphon.signaling.without_redis import WithoutRedis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiphon.cluster import Cluster, RoomRecord, RoundTrip, WorkerRecord
    from antiphon.placement import Locator, Policy
    from antiphon.signaling.moving import Moving

_log = telemetry.get_logger("signaling")
_MEMBERSHIP_S = 0.2
"""How old the loads may be that candidates are compared by. Bursts within it are spread by chance (ranking.py)."""
MOST_TOLD = 16
"""A session's record tells of so many edges and workers; the best, the chosen one, and those that refused."""


@dataclass(frozen=True)
class Wish:
    """What a caller asks for."""

    offer: str
    agent: str
    """Empty for none, which only a session in a room may ask for."""
    region: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    turns: Mapping[str, str] = field(default_factory=dict)
    """How the agent shall take turns: for the worker alone."""
    data_channel: int | None = None
    origin: Origin = NOBODY
    measured: Mapping[str, float] = field(default_factory=dict)
    """Round trips in ms by region, as the caller measured them."""
    room: str = ""
    """The room to join, by its name in the project; empty for none."""
    project: str = DEFAULT_PROJECT
    owner: str = ""
    """Whom the session token stands for; empty for an API key."""
    quota: int | None = None
    """Most sessions that the project may have at a time."""
    recording: bool = False
    """Whether the session shall be recorded."""
    movable: bool = False
    """Whether its client is one that moves when it is asked to."""
    trace: str = ""
    """The request's `traceparent`: the root of the session's trace."""
    moving: Moving | None = None
    """The session that this is about, where there is one already."""
    asker: str = ""
    """Whose word it is that a room begins somewhere: another for each placement."""

    @property
    def scoped_room(self) -> str:
        return scoped_room(self.project, self.room)

    @property
    def caller(self) -> str:
        """The caller's address."""
        return self.origin.address


@dataclass(frozen=True)
class Survey:
    """All that a placement is decided by. `wish` has the room's agent where there is a room."""

    wish: Wish
    membership: Membership
    evidence: Evidence
    networks: tuple[str, ...]
    edges: Ranking
    room: RoomRecord | None
    random: Random
    remembered: frozenset[str] = frozenset()
    """Regions whose Redis is away, and whose edges are those that were last known."""
    room_leaves: str = ""
    """The edge that the room leaves with the session; empty where it stays, or there is none."""

    @property
    def hopeless(self) -> bool:
        """Whether nobody could take the session, as far as this survey sees."""
        if self.wish.moving is not None:
            return not set(self.edges.possible) - self.wish.moving.lost
        return not self.edges.possible or (bool(self.wish.agent) and not self.workers("").possible)

    @property
    def _serving(self) -> list[WorkerRecord]:
        """Workers that serve the project: others' agents are not there for it."""
        return [worker for worker in self.membership.workers if worker.serves(self.wish.project)]

    def workers(self, edge: str) -> Ranking:
        """As they are to be taken by this edge: its links count."""
        record = self.membership.edge(edge)
        links = record.links if record else {}
        ranking = rank_workers(self.wish.agent, self._serving, self.random, links)
        return only(ranking, self.room.worker) if self.room is not None else ranking

    def require_workers(self) -> None:
        """Raises NoWorkerError, UnknownAgentError where no worker could take the session, whatever the edge."""
        agent = self.wish.agent
        if not agent:
            return
        serving = self._serving
        if not serving:
            raise NoWorkerError("no worker is there: start one with `antiphon worker`")
        ranking = rank_workers(agent, serving, self.random)
        if not ranking.choices:
            known = ", ".join(sorted({name for worker in serving for name in worker.agents})) or "none"
            raise UnknownAgentError(f"no live worker has the agent {agent!r}; known agents: {known}")
        if not ranking.possible:
            reasons = ", ".join(f"{choice.id} {choice.why}" for choice in ranking.choices)
            raise NoWorkerError(f"no worker with the agent {agent!r} has room: {reasons}")

    @property
    def known(self) -> dict[str, Any]:
        """Of the evidence what stays true while the call lives, for LiveCall: also of regions without an edge yet."""
        place = self.evidence.place
        return {
            "place": [place.latitude, place.longitude] if place else None,
            "measured": dict(self.wish.measured),
            "asked": self.wish.region or "",
        }

    def explain(
        self,
        *,
        workers: Ranking,
        edge: str = "",
        worker: str = "",
        refused: Mapping[str, str] | None = None,
        most: int | None = None,
    ) -> dict[str, Any]:
        """For the API: what is known of the caller, and each candidate with its cost and reasons."""
        evidence, refusals = self.evidence, refused or {}
        edges = self.edges.explain(edge, refusals, most)
        place = evidence.place
        return {
            "caller": evidence.how,
            "evidence": {
                "address": self.wish.caller,
                "networks": list(self.networks),
                "place": {"latitude": place.latitude, "longitude": place.longitude} if place else None,
                "asked": evidence.asked or None,
                "measured": dict(evidence.measured),
                "learned": {region: _told(trip) for region, trip in evidence.learned.items()},
            },
            "edges": edges,
            "workers": workers.explain(worker, refusals, most),
            "left_out": len(self.edges.choices) - len(edges),
        }


class Surveyor:
    """Holds what surveys share."""

    def __init__(
        self,
        cluster: Cluster,
        locator: Locator,
        policies: Sequence[Policy],
        random: Random | None = None,
        *,
        without: WithoutRedis | None = None,
    ) -> None:
        self._cluster = cluster
        self._without = without or WithoutRedis(cluster)
        self._locator = locator
        self._policies = policies
        self._random = random or Random()  # noqa: S311 - it spreads load and keeps no secret
        self._distances = Distances()

    async def survey(self, wish: Wish, *, within_s: float = _MEMBERSHIP_S) -> Survey:
        """Knows loads of at most so long ago; where they leave no hope, those of this moment.

        Raises UnavailableError, RoomConflictError.
        """
        if wish.room and wish.moving:
            within_s = 0.0  # whether it takes its room along hangs on who drains
        remembered = None if wish.room or wish.moving else self._without.membership()
        if remembered is None or self._cluster.several:
            try:
                return await self._fresh(wish, within_s, remembered)
            except UnavailableError as error:
                if wish.room or wish.moving or type(error) is not UnavailableError:
                    raise  # where they are, only Redis knows
                remembered = self._without.membership(error)
        return self._ranked(wish, Membership(), {}, None, remembered)

    async def _fresh(self, wish: Wish, within_s: float, remembered: Membership | None) -> Survey:
        found = await self._survey(wish, within_s, remembered)
        return await self._survey(wish, 0.0, remembered) if found.hopeless and within_s > 0 else found

    async def _survey(self, wish: Wish, within_s: float, remembered: Membership | None) -> Survey:
        networks = networks_of(wish.caller, self._locator.asn(wish.caller))
        membership, learned, room = await asyncio.gather(
            self._cluster.recent_members(within_s=within_s),
            self._learned(networks),
            self._room(wish.scoped_room if wish.room else ""),
        )
        return self._ranked(wish, membership, learned, room, remembered)

    def _ranked(
        self,
        wish: Wish,
        membership: Membership,
        learned: Mapping[str, RoundTrip],
        room: RoomRecord | None,
        remembered: Membership | None = None,
    ) -> Survey:
        """`remembered` are the edges of a region whose Redis is away, and workers that were there."""
        if remembered is not None:
            membership = Membership.union((remembered, membership))
        networks = networks_of(wish.caller, self._locator.asn(wish.caller))
        if room is not None:
            wish = replace(wish, agent=agent_of(room, wish.agent))
        evidence = gather(
            wish.origin,
            membership.edges,
            self._locator,
            asked=wish.region,
            measured=wish.measured,
            learned=learned,
            links=self._distances.links(wish.agent, membership, wish.project) if wish.agent else {},
        )
        edges = rank_edges(self._policies, evidence, membership.edges, self._random)
        leaves = ""
        if room is not None and leads(room, wish.moving, membership):
            leaves = room.edge
            edges = but(self._near(edges, leaves, membership), leaves)
        elif room is not None:
            edges = only(edges, room.edge)
        regions = frozenset(edge.region for edge in remembered.edges) if remembered is not None else frozenset()
        return Survey(wish, membership, evidence, networks, edges, room, self._random, regions, leaves)

    def _near(self, ranking: Ranking, edge: str, membership: Membership) -> Ranking:
        """Of several Redises one has the room: it goes to edges that this one knows."""
        known = membership.edge(edge)
        if not self._cluster.several or known is None:
            return ranking
        cell_of = self._cluster.cell_of_region
        here = cell_of(known.region)
        return Ranking(tuple(choice for choice in ranking.choices if cell_of(choice.region) is here))

    async def _learned(self, networks: Sequence[str]) -> Mapping[str, RoundTrip]:
        """Better evidence than a guess, but no call waits for it or fails without it."""
        try:
            return await self._cluster.round_trips.learned(networks)
        except UnavailableError as error:
            _log.warning("what was learned of round trips is not known", error=str(error))
            return {}

    async def _room(self, name: str) -> RoomRecord | None:
        return await self._cluster.room(name) if name else None


def _told(trip: RoundTrip) -> dict[str, Any]:
    return {"ms": round(trip.ms, 1), "calls": round(trip.weight, 1), "network": trip.network}
