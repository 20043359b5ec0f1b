"""The routes under /v1."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from antiphon.placement import caller_address
from antiphon.signaling.models import (
    ANSWER,
    DEFAULT_AGENT,
    FRAGMENT,
    OFFER,
    Agent,
    AgentDocument,
    AgentList,
    CreateSession,
    Edge,
    EdgeList,
    ProblemDocument,
    RegionName,
    RoomName,
    Session,
    SessionCreated,
    SessionList,
    WorkerDocument,
    WorkerList,
)
from antiphon.signaling.placing import Placed, Wish, etag
from antiphon.signaling.problems import Problem
from antiphon.signaling.requests import media_type, read_body, read_text
from antiphon.signaling.turn_models import TurnDocument, TurnList

if TYPE_CHECKING:
    from antiphon.cluster import Cluster, WorkerRecord
    from antiphon.config import SignalingConfig
    from antiphon.signaling.placing import Placer
    from antiphon.signaling.sessions import Sessions

SDP, FRAGMENT_TYPE, JSON = "application/sdp", "application/trickle-ice-sdpfrag", "application/json"
_MOST_METADATA = 16 * 1024
_SESSION_HEADERS = {
    "Location": {"description": "The session: /v1/sessions/{id}", "schema": {"type": "string"}},
    "ETag": {"description": "Names the ICE session, for If-Match", "schema": {"type": "string"}},
}


def problems_of(**said: str) -> dict[int | str, dict[str, Any]]:
    """Documents error answers: `_404="unknown session"`."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {int(code[1:]): {"description": words, "content": content} for code, words in said.items()}


def body_of(types: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": types}}


def session_routes(config: SignalingConfig, placer: Placer, sessions: Sessions) -> APIRouter:
    """Create, look at, restart, end."""
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
                _404="unknown_agent",
                _409="room_conflict: the room has another agent",
                _413="too_large: over 64 KiB",
                _415="unsupported_media_type",
                _503="no_edge, no_worker, unavailable; see Retry-After",
            ),
        },
        openapi_extra=body_of(
            {
                SDP: {"schema": {"type": "string"}, "example": OFFER},
                JSON: {"schema": CreateSession.model_json_schema()},
            }
        ),
    )
    async def create_session(
        request: Request,
        agent: Annotated[
            Agent | None, Query(description="Who shall talk; when not said parrot, or in a room the room's agent")
        ] = None,
        room: Annotated[RoomName | None, Query(description="The room to join: its members hear each other")] = None,
        region: Annotated[RegionName | None, Query(description="Where the session shall live")] = None,
        dcid: Annotated[
            int | None, Query(ge=0, le=65534, description="Stream id of a data channel that the caller negotiated")
        ] = None,
    ) -> Response:
        kind = media_type(request, SDP, JSON)
        text = read_text(await read_body(request, config.max_body_bytes))
        asked = _from_json(text) if kind == JSON else CreateSession(sdp=text or " ")
        peer = request.client.host if request.client else ""
        forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
        joins = asked.room or room or ""
        placed = await placer.place(
            Wish(
                offer=asked.sdp,
                agent=asked.agent or agent or ("" if joins else DEFAULT_AGENT),
                room=joins,
                region=asked.region or region,
                metadata=asked.metadata,
                data_channel=dcid,
                caller=caller_address(peer, forwarded, config.geoip.trusted_proxies),
            )
        )
        return _created(placed, kind)

    @router.get(
        "",
        summary="List sessions, the newest first",
        description="Live ones come with their state, set-up and quality at this moment: each edge is asked once for "
        "all of its own. Where an edge does not answer, its sessions are as their records say.",
        responses=problems_of(_503="unavailable"),
    )
    async def list_sessions(
        live: Annotated[bool, Query(description="Only those that have not ended")] = False,  # noqa: FBT002
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> SessionList:
        return SessionList(sessions=[Session.of(*one) for one in await sessions.listed(live=live, limit=limit)])

    @router.get(
        "/{session}",
        summary="Look at a session: where it is, its state, set-up and quality",
        responses=problems_of(_404="unknown_session", _503="unavailable"),
    )
    async def get_session(session: str, response: Response) -> Session:
        record, live = await sessions.view(session)
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
    async def get_turns(session: str) -> TurnList:
        return TurnList(session=session, turns=[TurnDocument(**turn) for turn in await sessions.turns(session)])

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
        openapi_extra=body_of({FRAGMENT_TYPE: {"schema": {"type": "string"}, "example": FRAGMENT}}),
    )
    async def patch_session(
        request: Request,
        session: str,
        if_match: Annotated[str | None, Header(description="The session's ETag, or *")] = None,
    ) -> Response:
        media_type(request, FRAGMENT_TYPE)
        fragment = read_text(await read_body(request, config.max_body_bytes))
        restarted = await sessions.restart_ice(session, fragment, if_match)
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
    async def delete_session(session: str) -> Response:
        await sessions.end(session)
        return Response(status_code=204)

    return router


def cluster_routes(cluster: Cluster) -> APIRouter:
    """Who is there."""
    router = APIRouter(prefix="/v1", tags=["cluster"], responses=problems_of(_503="unavailable"))

    @router.get("/edges", summary="List live edges")
    async def list_edges() -> EdgeList:
        return EdgeList(edges=[Edge.of(edge) for edge in await cluster.edges()])

    @router.get("/workers", summary="List live workers")
    async def list_workers() -> WorkerList:
        return WorkerList(workers=[WorkerDocument.of(worker) for worker in await cluster.workers()])

    @router.get("/agents", summary="List agents that a live worker has")
    async def list_agents() -> AgentList:
        workers = await cluster.workers()
        names = sorted({name for worker in workers for name in worker.agents})
        return AgentList(agents=[_agent(name, workers) for name in names])

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


def _from_json(text: str) -> CreateSession:
    """Raises Problem."""
    try:
        asked = CreateSession.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Problem(400, "bad_request", f"{field or 'the body'}: {first['msg']}", field=field) from None
    try:
        size = len(json.dumps(asked.metadata, allow_nan=False))
    except ValueError:
        raise Problem(400, "bad_request", "metadata holds a number that JSON cannot write", field="metadata") from None
    if size > _MOST_METADATA:
        raise Problem(400, "bad_request", f"metadata is larger than {_MOST_METADATA} bytes", field="metadata")
    return asked


def _created(placed: Placed, kind: str) -> Response:
    headers = {"Location": f"/v1/sessions/{placed.id}", "ETag": placed.etag, "Cache-Control": "no-store"}
    if kind == JSON:
        return JSONResponse(SessionCreated.of(placed).model_dump(), 201, headers)
    return Response(placed.answer, 201, headers, SDP)


BAD_REQUEST = problems_of(_400="bad_request")[400]
PROBLEM_SCHEMA = {"Problem": ProblemDocument.model_json_schema()}
