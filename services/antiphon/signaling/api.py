"""The routes under /v1."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from antiphon.signaling.gate import Asking  # noqa: TC001 - FastAPI reads annotations
from antiphon.signaling.granting import granted, may_call, may_record
from antiphon.signaling.idempotency import IdempotencyKey, once
from antiphon.signaling.models import (
    ANSWER,
    DEFAULT_AGENT,
    FRAGMENT,
    FRAGMENT_PATTERN,
    OFFER,
    Agent,
    AgentDocument,
    AgentList,
    CreateSession,
    Edge,
    EdgeList,
    MoveSession,
    RegionName,
    RoomName,
    Session,
    SessionCreated,
    SessionList,
    WorkerDocument,
    WorkerList,
)
from antiphon.signaling.openapi import SessionId, body_of, problems_of
from antiphon.signaling.paging import (
    AgentQuery,
    EdgeQuery,
    PageQuery,
    SessionQuery,
    WorkerQuery,
    linked,
    page_in_order,
    page_of,
)
from antiphon.signaling.placing import Placed, etag
from antiphon.signaling.problems import Problem
from antiphon.signaling.requests import JSON, media_type, origin, read_body, read_json, read_text
from antiphon.signaling.spans import traced
from antiphon.signaling.survey import Wish
from antiphon.signaling.turn_models import TurnDocument, TurnList

if TYPE_CHECKING:
    from antiphon.access import Identity
    from antiphon.cluster import Cluster, WorkerRecord
    from antiphon.config import SignalingConfig
    from antiphon.config_auth import LimitsConfig
    from antiphon.config_recording import RecordingConfig
    from antiphon.signaling.moving import Mover
    from antiphon.signaling.placing import Placer
    from antiphon.signaling.sessions import Sessions
    from antiphon.spans import Span, Tracing

DataChannelId = Annotated[
    int | None, Query(ge=0, le=65534, description="Stream id of a data channel that the caller negotiated")
]
SDP, FRAGMENT_TYPE = "application/sdp", "application/trickle-ice-sdpfrag"
_MOST_METADATA = 16 * 1024
_Asked = TypeVar("_Asked", CreateSession, MoveSession)
_SESSION_HEADERS = {
    "Location": {"description": "The session: /v1/sessions/{id}", "schema": {"type": "string"}},
    "ETag": {"description": "Names the ICE session, for If-Match", "schema": {"type": "string"}},
}


def session_routes(
    config: SignalingConfig,
    limits: LimitsConfig,
    recordings: RecordingConfig,
    cluster: Cluster,
    placer: Placer,
    sessions: Sessions,
    mover: Mover,
    tracing: Tracing,
) -> APIRouter:
    """Create, look at, restart, move, end."""
    router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

    @router.post(
        "",
        status_code=201,
        response_class=Response,
        summary="Call an agent: an offer in, an answer out",
        responses={
            201: {
                "model": SessionCreated,
                "description": "The answer, of the type that the offer had",
                "headers": _SESSION_HEADERS,
                "content": {SDP: {"schema": {"type": "string"}, "example": ANSWER}},
            },
            **problems_of(
                _400="bad_offer (with the line), bad_request",
                _403="forbidden: the session token does not grant it, or sessions may not be recorded",
                _404="unknown_agent",
                _409="room_conflict: the room has another agent; idempotency_conflict; in_flight",
                _413="too_large: over 64 KiB",
                _415="unsupported_media_type",
                _429="over_quota: the project has all sessions that it may have; too_many_requests; see Retry-After",
                _503="no_edge, no_worker, unavailable; see Retry-After",
            ),
        },
        openapi_extra=body_of(
            {
                SDP: {"schema": {"type": "string"}, "example": OFFER},
                JSON: CreateSession,
            }
        ),
    )
    async def create_session(
        request: Request,
        who: Asking,
        agent: Annotated[
            Agent | None, Query(description="Who shall talk; when not said parrot, or in a room the room's agent")
        ] = None,
        room: Annotated[RoomName | None, Query(description="The room to join: its members hear each other")] = None,
        region: Annotated[RegionName | None, Query(description="Where the session shall live")] = None,
        dcid: DataChannelId = None,
        recording: Annotated[bool, Query(description="Whether the session is recorded")] = False,  # noqa: FBT002
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        with traced(tracing, request, "/v1/sessions") as span:
            kind = media_type(request, SDP, JSON)
            text = read_text(await read_body(request, config.max_body_bytes))
            asked = _from_json(CreateSession, text) if kind == JSON else CreateSession(sdp=text or " ")
            wish = Wish(
                offer=asked.sdp,
                agent=asked.agent or agent or "",
                room=asked.room or room or "",
                region=asked.region or region,
                metadata=asked.metadata,
                turns=asked.turns.model_dump(exclude_none=True),
                data_channel=dcid,
                origin=origin(request, config.geoip),
                measured=asked.rtts,
                project=who.project,
                owner=who.subject,
                quota=limits.sessions_of(who.project),
                recording=asked.recording or recording,
                movable=kind == JSON,  # who posts a bare offer (WHIP) knows of no moves
                trace=span.traceparent,
            )
            may_record(recordings, wish)
            call = partial(_call, placer, granted(wish, who.grants), kind, span)
            response = await once(cluster, who, idempotency_key, (kind, request.url.query, text), call)
            span.tell(status=response.status_code)
            return response

    @router.post(
        "/{session}:move",
        summary="Bring a session to another edge: a new offer in, an answer out",
        description="For a session whose edge drains, or whose edge or worker is lost to its caller. The session goes "
        "on under its id, with its worker where that lives: the old connection is left once media flows over the new. "
        "Members of a room go to one and the same edge: the first of them takes the room along.",
        responses={
            200: {"model": SessionCreated, "headers": {"ETag": _SESSION_HEADERS["ETag"]}},
            **problems_of(
                _400="bad_offer (with the line), bad_request",
                _403="forbidden: the session token does not grant its agent",
                _404="unknown_session: it is over, or nothing is known of it; unknown_agent: its record was lost",
                _409="stale_epoch: somebody else moved it at this moment; room_conflict: its room has another agent",
                _413="too_large: over 64 KiB",
                _415="unsupported_media_type",
                _503="no_edge, no_worker, unavailable; see Retry-After",
            ),
        },
        openapi_extra=body_of({JSON: MoveSession}),
    )
    async def move_session(
        request: Request,
        session: SessionId,
        who: Asking,
        dcid: DataChannelId = None,
    ) -> Response:
        with traced(tracing, request, "/v1/sessions/{session}:move", session=session) as span:
            media_type(request, JSON)
            asked = _from_json(MoveSession, read_text(await read_body(request, config.max_body_bytes)))
            whence = origin(request, config.geoip)
            placed = await mover.move(session, asked, who, data_channel=dcid, origin=whence, trace=span.traceparent)
            span.tell(status=200, agent=placed.agent)
            headers = {"ETag": placed.etag, "Cache-Control": "no-store"}
            return JSONResponse(SessionCreated.of(placed).model_dump(), 200, headers)

    @router.get(
        "",
        summary="List sessions, the newest first",
        description="The project's, or those of a session token's subject. "
        "Live ones come with their state, set-up and quality at this moment: each edge is asked once for "
        "all of its own. Where an edge does not answer, its sessions are as their records say.",
        responses=problems_of(_503="unavailable"),
    )
    async def list_sessions(
        request: Request, response: Response, who: Asking, query: Annotated[SessionQuery, Query()]
    ) -> SessionList:
        page, following, away = await sessions.listed(who, query)
        return SessionList(
            sessions=[Session.of(*one) for one in page],
            next=linked(request, response, following),
            regions_away=list(away),
        )

    @router.get(
        "/{session}",
        summary="Look at a session: where it is, its state, set-up and quality",
        responses=problems_of(_404="unknown_session", _503="unavailable"),
    )
    async def get_session(session: SessionId, who: Asking, response: Response) -> Session:
        record, live = await sessions.view(session, who)
        if record.ufrag:
            response.headers["ETag"] = etag(record.ufrag, record.epoch)
        return Session.of(record, live)

    @router.get(
        "/{session}/turns",
        summary="Look at a session's turns: where the time went until each answer, stage by stage",
        description="The last 200 turns that an agent was asked to answer, the oldest first; docs/latency.md defines "
        "the stages. A turn appears when its answer is heard, or when it is clear that none will be.",
        responses=problems_of(_404="unknown_session", _503="unavailable"),
    )
    async def get_turns(
        request: Request, response: Response, session: SessionId, who: Asking, query: Annotated[PageQuery, Query()]
    ) -> TurnList:
        turns = [TurnDocument(**turn) for turn in await sessions.turns(session, who)]
        page, following = page_in_order(turns, query, lambda turn: f"{turn.turn} {turn.started_ms} {turn.outcome}")
        return TurnList(session=session, turns=page, next=linked(request, response, following))

    @router.patch(
        "/{session}",
        response_class=Response,
        summary="Restart ICE, or trickle candidates (RFC 9725)",
        responses={
            200: {
                "description": "ICE restarted: the edge's new credentials",
                "headers": {"ETag": _SESSION_HEADERS["ETag"]},
                "content": {FRAGMENT_TYPE: {"schema": {"type": "string"}, "example": FRAGMENT}},
            },
            204: {"description": "Candidates taken note of; a lite edge needs none"},
            **problems_of(
                _400="bad_request",
                _404="unknown_session",
                _412="precondition_failed: If-Match names another ICE session",
                _415="unsupported_media_type",
                _428="precondition_required: a restart without If-Match",
                _503="unavailable",
            ),
        },
        openapi_extra=body_of(
            {FRAGMENT_TYPE: {"schema": {"type": "string", "pattern": FRAGMENT_PATTERN}, "example": FRAGMENT}}
        ),
    )
    async def patch_session(
        request: Request,
        session: SessionId,
        who: Asking,
        if_match: Annotated[str | None, Header(description="The session's ETag, or *")] = None,
    ) -> Response:
        media_type(request, FRAGMENT_TYPE)
        fragment = read_text(await read_body(request, config.max_body_bytes))
        restarted = await sessions.restart_ice(session, who, fragment, if_match)
        if restarted is None:
            return Response(status_code=204)
        answer, tag = restarted
        return Response(answer, media_type=FRAGMENT_TYPE, headers={"ETag": tag})

    @router.delete(
        "/{session}",
        status_code=204,
        response_class=Response,
        summary="End a session",
        responses=problems_of(_404="unknown_session", _503="unavailable"),
    )
    async def delete_session(session: SessionId, who: Asking) -> Response:
        await sessions.end(session, who)
        return Response(status_code=204)

    return router


def cluster_routes(cluster: Cluster) -> APIRouter:
    """Who is there."""
    router = APIRouter(prefix="/v1", tags=["cluster"], responses=problems_of(_503="unavailable"))

    @router.get("/edges", summary="List live edges, by id")
    async def list_edges(request: Request, response: Response, query: Annotated[EdgeQuery, Query()]) -> EdgeList:
        found = [
            edge
            for edge in await cluster.edges()
            if query.region in {None, edge.region} and query.draining in {None, edge.draining}
        ]
        page, following = page_of(found, query, lambda edge: edge.id)
        return EdgeList(edges=[Edge.of(edge) for edge in page], next=linked(request, response, following))

    async def serving(who: Identity) -> list[WorkerRecord]:
        return [worker for worker in await cluster.workers() if worker.serves(who.project)]

    @router.get("/workers", summary="List live workers that serve the project, by id")
    async def list_workers(
        request: Request, response: Response, who: Asking, query: Annotated[WorkerQuery, Query()]
    ) -> WorkerList:
        found = [
            worker
            for worker in await serving(who)
            if query.agent in {None, *worker.agents} and query.draining in {None, worker.draining}
        ]
        page, following = page_of(found, query, lambda worker: worker.id)
        return WorkerList(
            workers=[WorkerDocument.of(worker) for worker in page], next=linked(request, response, following)
        )

    @router.get("/agents", summary="List agents that a live worker has, and that the caller may call, by name")
    async def list_agents(
        request: Request, response: Response, who: Asking, query: Annotated[AgentQuery, Query()]
    ) -> AgentList:
        workers = await serving(who)
        asked = [worker for worker in workers if query.worker in {None, worker.id}]
        names = {name for worker in asked for name in worker.agents if may_call(who.grants, name)}
        page, following = page_of(names, query, str)
        return AgentList(agents=[_agent(name, workers) for name in page], next=linked(request, response, following))

    return router


def _agent(name: str, workers: list[WorkerRecord]) -> AgentDocument:
    having = [worker for worker in workers if name in worker.agents]
    return AgentDocument(
        name=name,
        workers=[worker.id for worker in having],
        capacity=sum(worker.capacity for worker in having),
        sessions=sum(worker.sessions for worker in having),
        default=name == DEFAULT_AGENT,
    )


def _from_json(kind: type[_Asked], text: str) -> _Asked:
    """Raises Problem."""
    asked = read_json(kind, text)
    try:
        size = len(json.dumps(asked.metadata, allow_nan=False))
    except ValueError:
        raise Problem(400, "bad_request", "metadata holds a number that JSON cannot write", field="metadata") from None
    if size > _MOST_METADATA:
        raise Problem(400, "bad_request", f"metadata is larger than {_MOST_METADATA} bytes", field="metadata")
    return asked


async def _call(placer: Placer, wish: Wish, kind: str, span: Span) -> Response:
    placed = await placer.place(wish)
    span.tell(session=placed.id, agent=placed.agent)
    return _created(placed, kind)


def _created(placed: Placed, kind: str) -> Response:
    headers = {"Location": f"/v1/sessions/{placed.id}", "ETag": placed.etag, "Cache-Control": "no-store"}
    if kind == JSON:
        return JSONResponse(SessionCreated.of(placed).model_dump(), 201, headers)
    return Response(placed.answer, 201, headers, SDP)
