"""Sets a session up: who could take it, a claim, the edge's answer; on failure the claim is released and another edge
is asked, once.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import grpc

from antiphon import telemetry
from antiphon.errors import (
    BadOfferError,
    BadRequestError,
    NoEdgeError,
    NoWorkerError,
    RoomConflictError,
    RoomSettledError,
    StaleEpochError,
    UnavailableError,
    UnknownAgentError,
    UnknownSessionError,
)
from antiphon.ids import new_session_id
from antiphon.placement import Evidence, Ranking, gather, rank_edges, rank_workers
from antiphon.signaling.edges import EdgeRefusedError
from antiphon.signaling.joining import agent_of, full_room, only
from antiphon.signaling.metrics import PLACEMENTS, SETUP_SECONDS
from antiphon.signaling.sdp import ice_ufrag
from antiphon.wire.control.v1 import edge_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from antiphon.cluster import Claim, Cluster, Membership
    from antiphon.placement import Locator, Policy
    from antiphon.signaling.edges import Edges

_log = telemetry.get_logger("signaling")
_ATTEMPTS = 2
_ROOM_ATTEMPTS = 3


@dataclass(frozen=True)
class Wish:
    """What a caller asks for."""

    offer: str
    agent: str
    """Empty for none, which only a session in a room may ask for."""
    region: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    data_channel: int | None = None
    caller: str = ""
    room: str = ""
    """The room to join; empty for none."""


@dataclass(frozen=True)
class Placed:
    """A session that an edge has answered for."""

    id: str
    epoch: int
    agent: str
    edge: str
    region: str
    worker: str
    answer: str
    ufrag: str
    placement: Mapping[str, Any]
    room: str = ""

    @property
    def etag(self) -> str:
        return etag(self.ufrag, self.epoch)


def etag(ufrag: str, epoch: int) -> str:
    """Names the ICE session (RFC 9725, section 4.3): a restart changes the one part, a move both."""
    return f'"{ufrag}/{epoch}"'


class Placer:
    """Holds what set-ups share."""

    def __init__(self, cluster: Cluster, edges: Edges, locator: Locator, policy: Policy) -> None:
        self._cluster = cluster
        self._edges = edges
        self._locator = locator
        self._policy = policy
        self._undoing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Lets undoing come to its end, which its deadlines bound."""
        await asyncio.gather(*self._undoing)

    async def place(self, wish: Wish) -> Placed:
        """Raises BadOfferError, BadRequestError, UnknownAgentError, RoomConflictError, NoEdgeError, NoWorkerError,
        UnavailableError.
        """
        steps: dict[str, float] = {}
        try:
            with _timed(steps, "total"):
                placed = await self._place(wish, steps)
        except Exception as error:
            PLACEMENTS.labels("none", _outcome(error)).inc()
            raise
        PLACEMENTS.labels(placed.region, "placed").inc()
        _log.info(
            "session placed",
            session=placed.id,
            agent=placed.agent,
            edge=placed.edge,
            worker=placed.worker,
            ms=round(steps["total"], 1),
        )
        return placed

    async def _place(self, wish: Wish, steps: dict[str, float]) -> Placed:
        for _ in range(_ROOM_ATTEMPTS):
            with suppress(RoomSettledError):
                return await self._search(wish, steps)
        return await self._search(wish, steps)

    async def _search(self, wish: Wish, steps: dict[str, float]) -> Placed:
        with _timed(steps, "membership"):
            membership = await self._cluster.members()
            room = await self._cluster.room(wish.room) if wish.room else None
        if room is not None:
            wish = replace(wish, agent=agent_of(room, wish.agent))
        evidence = gather(wish.caller, wish.region, membership.edges, self._locator)
        edges = rank_edges(self._policy, evidence, membership.edges)
        workers = _workers(wish.agent, membership)
        if room is not None:
            edges, workers = only(edges, room.edge), only(workers, room.worker)
        search = _Search(edges, workers, evidence)
        while search.remaining:
            claim = await self._claim(wish, search, steps)
            if claim is None:
                continue
            try:
                with _timed(steps, "edge"):
                    opened = await self._edges.open(claim.edge.control, _request(wish, claim))
            except EdgeRefusedError as error:
                self._undo(claim, opened_perhaps=error.unreachable)
                search.failed(claim, error)
                continue
            except BaseException:
                self._undo(claim, opened_perhaps=True)
                raise
            placement = {**search.explain(claim), "signaling_ms": {k: round(v, 2) for k, v in steps.items()}}
            await self._note(claim, opened.ufrag, wish, placement)
            return Placed(
                id=claim.session,
                epoch=claim.epoch,
                agent=wish.agent,
                edge=claim.edge.id,
                region=claim.edge.region,
                worker=claim.worker.id,
                answer=opened.answer,
                ufrag=opened.ufrag,
                placement=placement,
                room=wish.room,
            )
        if room is not None:
            raise full_room(room, search.nothing_left()) from None
        raise search.nothing_left()

    async def _claim(self, wish: Wish, search: _Search, steps: dict[str, float]) -> Claim | None:
        """A claim touches one region, whose name the session's id carries; None where that region has no room."""
        region, group = search.next_region()
        with _timed(steps, "claim"):
            try:
                claim = await self._cluster.claim(
                    new_session_id(region),
                    agent=wish.agent,
                    edges=group,
                    workers=search.workers,
                    caller=wish.caller,
                    room=wish.room,
                    metadata=wish.metadata,
                    placement=search.explain(None),
                )
            except NoEdgeError as error:
                search.without_room(group, error)
                return None
        search.refused |= claim.refused
        return claim

    async def _note(self, claim: Claim, ufrag: str, wish: Wish, placement: Mapping[str, Any]) -> None:
        """The caller has its answer whether or not Redis still hears of it."""
        try:
            await self._cluster.update(
                claim.session,
                claim.epoch,
                state="live",
                ufrag=ufrag,
                caller_ufrag=ice_ufrag(wish.offer) or "",
                placement=placement,
            )
        except (UnavailableError, UnknownSessionError, StaleEpochError) as error:
            _log.warning("session's record not completed", session=claim.session, error=str(error))

    def _undo(self, claim: Claim, *, opened_perhaps: bool) -> None:
        task = asyncio.create_task(self._release(claim, opened_perhaps=opened_perhaps))
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)

    async def _release(self, claim: Claim, *, opened_perhaps: bool) -> None:
        try:
            await self._cluster.release(claim.session, claim.epoch, {"reason": "setup_failed"})
        except (UnavailableError, StaleEpochError) as error:
            _log.warning("claim not released: its slot expires", session=claim.session, error=str(error))
        if opened_perhaps:  # its answer may have come too late
            request = edge_pb2.CloseSessionRequest(session=claim.session, epoch=claim.epoch, reason="api")
            with suppress(EdgeRefusedError):
                await self._edges.close_session(claim.edge.control, request)


class _Search:
    """Edges and workers not yet tried, and what was learned of those that were."""

    def __init__(self, edges: Ranking, workers: Ranking, evidence: Evidence) -> None:
        self.remaining = edges.possible
        self.workers = workers.possible
        self.refused: dict[str, str] = {}
        self._all_edges = edges
        self._all_workers = workers
        self._evidence = evidence
        self._regions = {choice.id: choice.region for choice in edges.choices}
        self._attempts = 0
        self._last: Exception | None = None

    def next_region(self) -> tuple[str, list[str]]:
        region = self._regions[self.remaining[0]]
        return region, [name for name in self.remaining if self._regions[name] == region]

    def without_room(self, group: list[str], error: NoEdgeError) -> None:
        self.refused |= dict.fromkeys(group, "no room")
        self.remaining = [name for name in self.remaining if name not in group]
        self._last = self._last or error

    def failed(self, claim: Claim, error: EdgeRefusedError) -> None:
        """Another edge, or another worker where the link failed, may do better. Raises the request's own fault."""
        if error.blames_the_request:
            raise _blame(error) from None
        _log.warning("edge refused a session", edge=claim.edge.id, reason=error.reason, error=str(error))
        self._attempts += 1
        self._last = _failure(claim, error)
        others = [name for name in self.workers if name != claim.worker.id]
        if error.reason == "link_down" and others:
            self.refused[claim.worker.id] = "out of the edge's reach"
            self.workers = others
        else:
            self.refused[claim.edge.id] = error.reason.replace("_", " ")
            self.remaining = [name for name in self.remaining if name != claim.edge.id]
        if self._attempts >= _ATTEMPTS:
            self.remaining = []

    def nothing_left(self) -> Exception:
        if self._last is not None:
            return self._last
        reasons = (
            ", ".join(f"{choice.id} {choice.why}" for choice in self._all_edges.choices)
            or "none is there: start one with `antiphon edge`"
        )
        return NoEdgeError(f"no edge can take a session: {reasons}")

    def explain(self, claim: Claim | None) -> dict[str, Any]:
        edge, worker = (claim.edge.id, claim.worker.id) if claim else ("", "")
        return {
            "caller": self._evidence.how,
            "edges": self._all_edges.explain(edge, self.refused),
            "workers": self._all_workers.explain(worker, self.refused),
        }


def _workers(agent: str, membership: Membership) -> Ranking:
    ranking = rank_workers(agent, membership.workers)
    if not agent:
        return ranking
    if not membership.workers:
        raise NoWorkerError("no worker is there: start one with `antiphon worker`")
    if not ranking.choices:
        known = ", ".join(sorted({name for worker in membership.workers for name in worker.agents})) or "none"
        raise UnknownAgentError(f"no live worker has the agent {agent!r}; known agents: {known}")
    if not ranking.possible:
        reasons = ", ".join(f"{choice.id} {choice.why}" for choice in ranking.choices)
        raise NoWorkerError(f"no worker with the agent {agent!r} has room: {reasons}")
    return ranking


def _request(wish: Wish, claim: Claim) -> edge_pb2.OpenSessionRequest:
    return edge_pb2.OpenSessionRequest(
        session=claim.session,
        epoch=claim.epoch,
        offer=wish.offer,
        agent=wish.agent,
        worker=claim.worker.id,
        worker_address=claim.worker.link,
        metadata=json.dumps(dict(wish.metadata)),
        caller=wish.caller,
        data_channel=wish.data_channel,
        room=wish.room,
    )


def _blame(error: EdgeRefusedError) -> BadRequestError:
    if error.reason != "bad_offer":
        return BadRequestError(str(error))
    line = error.metadata.get("line", "")
    expected = error.metadata.get("expected", "")
    words = f"{error}; expected {expected}" if expected else str(error)
    return BadOfferError(words, line=int(line) if line.isdigit() else 0)


def _failure(claim: Claim, error: EdgeRefusedError) -> UnavailableError:
    words = f"edge {claim.edge.id} could not take the session: {error}"
    if error.code is grpc.StatusCode.UNAVAILABLE and error.reason == "link_down":
        return NoWorkerError(words)
    return NoEdgeError(words)


def _outcome(error: Exception) -> str:
    return {
        BadOfferError: "bad_offer",
        BadRequestError: "bad_request",
        UnknownAgentError: "unknown_agent",
        NoEdgeError: "no_edge",
        NoWorkerError: "no_worker",
        RoomConflictError: "room_conflict",
        RoomSettledError: "room_settled",
        UnavailableError: "unavailable",
    }.get(type(error), "failed")


@contextmanager
def _timed(steps: dict[str, float], step: str) -> Iterator[None]:
    """Milliseconds by step; of a step that is repeated, all of it."""
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - began
        steps[step] = steps.get(step, 0.0) + 1000 * seconds
        SETUP_SECONDS.labels(step).observe(seconds)
