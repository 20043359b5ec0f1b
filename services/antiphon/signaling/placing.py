"""Sets a session up: who could take it, a claim, the edge's answer; on failure the claim is released and another edge
is asked, once.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from antiphon import telemetry
from antiphon.errors import (
    BadOfferError,
    BadRequestError,
    NoEdgeError,
    NoWorkerError,
    OverLimitError,
    RoomConflictError,
    RoomSettledError,
    StaleEpochError,
    UnavailableError,
    UnknownAgentError,
    UnknownSessionError,
)
from antiphon.ids import new_session_id
from antiphon.recordings import RECORDING_KEY
from antiphon.signaling.edges import EdgeRefusedError
from antiphon.signaling.joining import full_room
from antiphon.signaling.metrics import PLACEMENTS, SETUP_SECONDS
from antiphon.signaling.sdp import ice_ufrag
from antiphon.signaling.searching import Search
from antiphon.spans import TRACE_KEY, trace_id
from antiphon.turns import TURNS_KEY
from antiphon.wire.control.v1 import edge_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from antiphon.cluster import Claim, Cluster
    from antiphon.signaling.edges import Edges
    from antiphon.signaling.survey import Survey, Surveyor, Wish
    from antiphon.signaling.without_redis import WithoutRedis
    from antiphon.spans import Span, Tracing

_log = telemetry.get_logger("signaling")
_ROOM_ATTEMPTS = 6
_ROOM_PAUSE_S = 0.02
_OURS = frozenset({RECORDING_KEY, TRACE_KEY})
"""What only signaling may say in a session's metadata."""


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

    def __init__(
        self, cluster: Cluster, edges: Edges, surveyor: Surveyor, without: WithoutRedis, tracing: Tracing
    ) -> None:
        self._tracing = tracing
        self._without = without
        self._cluster = cluster
        self._edges = edges
        self._surveyor = surveyor
        self._undoing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Lets undoing come to its end, which its deadlines bound."""
        await asyncio.gather(*self._undoing)

    async def place(self, wish: Wish) -> Placed:
        """Raises BadOfferError, BadRequestError, UnknownAgentError, RoomConflictError, OverLimitError, NoEdgeError,
        NoWorkerError, UnavailableError.
        """
        steps: dict[str, float] = {}
        with self._tracing.span("placement", agent=wish.agent, project=wish.project) as span:
            if wish.moving is not None:
                span.follows(wish.moving.record.trace)
            try:
                with _timed(steps, "total"):
                    placed = await self._place(wish, steps, span)
            except Exception as error:
                PLACEMENTS.labels("none", _outcome(error)).inc()
                span.end(_outcome(error))
                raise
        PLACEMENTS.labels(placed.region, "placed").inc()
        _log.info(
            "session placed",
            session=placed.id,
            project=wish.project,
            agent=placed.agent,
            edge=placed.edge,
            worker=placed.worker,
            ms=round(steps["total"], 1),
        )
        return placed

    async def _place(self, wish: Wish, steps: dict[str, float], span: Span) -> Placed:
        if not wish.room:
            return await self._search(wish, steps, span)
        wish = replace(wish, asker=uuid4().hex)
        try:
            return await self._place_in_room(wish, steps, span)
        except Exception:
            with suppress(UnavailableError):
                await self._cluster.give_up_room(wish.scoped_room, wish.asker)
            raise

    async def _place_in_room(self, wish: Wish, steps: dict[str, float], span: Span) -> Placed:
        for attempt in range(_ROOM_ATTEMPTS):
            with suppress(RoomSettledError):
                return await self._search(wish, steps, span)
            # Who began it has it settled, or gives it up, in a moment.
            await asyncio.sleep(random.uniform(0, attempt * _ROOM_PAUSE_S))  # noqa: S311 - no secret
        return await self._search(wish, steps, span)

    async def _search(self, wish: Wish, steps: dict[str, float], span: Span) -> Placed:
        with _timed(steps, "membership"):
            survey = await self._surveyor.survey(wish)
        span.event("surveyed", candidates=len(survey.edges.choices))
        wish, room = survey.wish, survey.room
        if wish.recording and not wish.agent:
            raise BadRequestError("a room without an agent has no worker, which is what records: leave out recording")
        if wish.moving is None or not wish.moving.record.worker:  # who moves has one, unless its record was lost
            survey.require_workers()
        search = Search(survey)
        if wish.moving is not None:
            search.avoid(wish.moving.lost)
            search.prefer(wish.moving.to)
        while search.remaining:
            claim = await self._claim(wish, search, steps)
            if claim is None:
                continue
            try:
                with _timed(steps, "edge"):
                    opened = await self._edges.open(claim.edge.control, _request(wish, claim))
            except EdgeRefusedError as error:
                span.event("refused", edge=claim.edge.id, worker=claim.worker.id, reason=error.reason)
                await self._undo(claim, wish, opened_perhaps=error.unreachable)
                search.failed(claim, error)
                continue
            except BaseException:
                await self._undo(claim, wish, opened_perhaps=True)
                raise
            placement = {**search.explain(claim), "signaling_ms": {k: round(v, 2) for k, v in steps.items()}}
            await self._note(claim, opened.ufrag, survey, placement)
            span.tell(**search.told(claim))
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
        if room is not None and not survey.room_leaves:
            raise full_room(room, search.nothing_left()) from None
        raise search.nothing_left()

    async def _claim(self, wish: Wish, search: Search, steps: dict[str, float]) -> Claim | None:
        """A claim touches one region, whose name the session's id carries; None where that region has no room."""
        region, group, workers = search.next_region()
        session = wish.moving.record.id if wish.moving else new_session_id(region)
        with (
            _timed(steps, "claim"),
            self._tracing.span("claim", session=session, region=region, attempt=search.attempt) as span,
        ):
            claim = await self._claim_in(region, group, workers, session, wish, search)
            if claim is None:
                span.end("no_room")
            else:
                span.tell(**search.told(claim))
            return claim

    async def _claim_in(
        self, region: str, group: list[str], workers: list[str], session: str, wish: Wish, search: Search
    ) -> Claim | None:
        if region in search.survey.remembered:
            return self._without.claim(search.survey.membership, agent=wish.agent, edges=group, workers=workers)
        moving = wish.moving
        try:
            claim = await self._cluster.claim(
                session,
                previous=moving.record.epoch if moving else 0,
                agent=wish.agent,
                edges=group,
                region=region,
                workers=moving.workers(workers, search.survey.room) if moving else workers,
                caller=wish.caller,
                room=wish.scoped_room,
                asker=wish.asker,
                project=wish.project,
                owner=wish.owner,
                quota=wish.quota,
                recording=wish.recording,
                metadata=wish.metadata,
                networks=search.survey.networks,
                room_leaves=search.survey.room_leaves,
            )
        except NoEdgeError as error:
            search.without_room(group, error)
            return None
        except UnavailableError as error:  # Redis went away since the survey
            if type(error) is not UnavailableError or moving or wish.room:
                raise
            if self._cluster.several and region != self._without.region:
                search.without_room(group, error, f"region {region}'s Redis does not answer")
                return None
            members = self._without.membership(error) or search.survey.membership
            return self._without.claim(members, agent=wish.agent, edges=search.remaining, workers=workers)
        search.refused |= claim.refused
        return claim

    async def _note(self, claim: Claim, ufrag: str, survey: Survey, placement: Mapping[str, Any]) -> None:
        """The caller has its answer whether or not Redis still hears of it."""
        wish = survey.wish
        found: dict[str, str | Mapping[str, Any]] = {
            "evidence": survey.known,
            "movable": "1" if wish.movable and not wish.room else "",
            "ufrag": ufrag,
            "caller_ufrag": ice_ufrag(wish.offer) or "",
            "placement": placement,
        }
        if wish.moving is None and trace_id(wish.trace):
            found["trace"] = wish.trace
        if not claim.written:
            known = {"agent": wish.agent, "caller": wish.caller, "project": wish.project, "owner": wish.owner}
            self._without.placed(claim, {**known, "metadata": wish.metadata, **found})
            return
        try:
            await self._cluster.session(claim.session).update(claim.epoch, at=claim.edge.id, state="live", **found)
        except (UnavailableError, UnknownSessionError, StaleEpochError) as error:
            _log.warning("session's record not completed", session=claim.session, error=str(error))

    async def _undo(self, claim: Claim, wish: Wish, *, opened_perhaps: bool) -> None:
        task = asyncio.create_task(self._release(claim, moves=wish.moving is not None, opened_perhaps=opened_perhaps))
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)
        if wish.moving is not None:  # the next attempt starts from where the session was
            await asyncio.shield(task)

    async def _release(self, claim: Claim, *, moves: bool, opened_perhaps: bool) -> None:
        try:
            if not claim.written:
                pass
            elif moves:
                await self._cluster.session(claim.session).revert(claim.epoch, edge=claim.edge.id)
            else:
                await self._cluster.session(claim.session).release(
                    claim.epoch, {"reason": "setup_failed"}, edge=claim.edge.id
                )
        except (UnavailableError, StaleEpochError) as error:
            _log.warning("claim not released: its slot expires", session=claim.session, error=str(error))
        if opened_perhaps:  # its answer may have come too late
            request = edge_pb2.CloseSessionRequest(session=claim.session, epoch=claim.epoch, reason="api")
            with suppress(EdgeRefusedError):
                await self._edges.close_session(claim.edge.control, request)


def _request(wish: Wish, claim: Claim) -> edge_pb2.OpenSessionRequest:
    return edge_pb2.OpenSessionRequest(
        session=claim.session,
        epoch=claim.epoch,
        offer=wish.offer,
        agent=wish.agent,
        worker=claim.worker.id,
        worker_address=claim.worker.link,
        metadata=json.dumps(_told_to_worker(wish)),
        caller=wish.caller,
        data_channel=wish.data_channel,
        room=wish.scoped_room,
        project=wish.project,
        owner=wish.owner,
    )


def _told_to_worker(wish: Wish) -> dict[str, Any]:
    """The application's metadata, and what only signaling may say."""
    told: dict[str, Any] = {key: value for key, value in wish.metadata.items() if key not in _OURS}
    told |= {TURNS_KEY: wish.turns} if wish.turns else {}
    told |= {TRACE_KEY: {"root": wish.trace}} if wish.trace else {}
    return told | ({RECORDING_KEY: {"project": wish.project}} if wish.recording else {})


def _outcome(error: Exception) -> str:
    return {
        BadOfferError: "bad_offer",
        BadRequestError: "bad_request",
        UnknownAgentError: "unknown_agent",
        NoEdgeError: "no_edge",
        NoWorkerError: "no_worker",
        RoomConflictError: "room_conflict",
        OverLimitError: "over_quota",
        RoomSettledError: "room_settled",
        StaleEpochError: "stale_epoch",
        UnknownSessionError: "unknown_session",
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
