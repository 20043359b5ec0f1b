"""Draining edges and workers: nothing new is placed there, and what they have may stay until a deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from antiphon import telemetry
from antiphon.errors import UnknownMemberError
from antiphon.signaling.models import Edge, WorkerDocument
from antiphon.signaling.openapi import body_of, problems_of
from antiphon.signaling.requests import JSON, media_type, read_body, read_json, read_text

if TYPE_CHECKING:
    from antiphon.cluster import Cluster, EdgeRecord, WorkerRecord

_log = telemetry.get_logger("signaling")
_MOST_BYTES = 1024
Member = Annotated[str, Path(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]


class DrainRequest(BaseModel):
    """How long sessions may stay."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"deadline_s": 600}]},
    )

    deadline_s: float = Field(default=600.0, ge=0, le=86_400)
    """Sessions that have not ended by themselves after so many seconds are ended, with the reason drain."""


def drain_routes(cluster: Cluster) -> APIRouter:
    """Drain, and take it back."""
    router = APIRouter(prefix="/v1", tags=["cluster"])
    unknown = "unknown_member: no such edge or worker lives"
    problems = problems_of(_404=unknown, _503="unavailable")
    with_body = problems_of(_400="bad_request", _404=unknown, _415="unsupported_media_type", _503="unavailable")
    body = body_of({JSON: DrainRequest})
    body["requestBody"]["required"] = False
    how = (
        "From this moment nothing new is placed there. What there is ends by itself, or at the deadline. Said again, "
        "the deadline is new. The answer's `drain`, and the list's, tells how far it is."
    )

    @router.post(
        "/edges/{edge}:drain", summary="Let an edge run empty", description=how, responses=with_body, openapi_extra=body
    )
    async def drain_edge(request: Request, edge: Member) -> Edge:
        return Edge.of(await ordered(request, "edge", edge))  # type: ignore[arg-type]

    @router.post(
        "/workers/{worker}:drain",
        summary="Let a worker run empty",
        description=how,
        responses=with_body,
        openapi_extra=body,
    )
    async def drain_worker(request: Request, worker: Member) -> WorkerDocument:
        return WorkerDocument.of(await ordered(request, "worker", worker))  # type: ignore[arg-type]

    @router.post("/edges/{edge}:undrain", summary="Let an edge take sessions again", responses=problems)
    async def undrain_edge(edge: Member) -> Edge:
        await cluster.undrain("edge", edge)
        _log.info("drain taken back", edge=edge)
        return Edge.of(await member("edge", edge))  # type: ignore[arg-type]

    @router.post("/workers/{worker}:undrain", summary="Let a worker take sessions again", responses=problems)
    async def undrain_worker(worker: Member) -> WorkerDocument:
        await cluster.undrain("worker", worker)
        _log.info("drain taken back", worker=worker)
        return WorkerDocument.of(await member("worker", worker))  # type: ignore[arg-type]

    async def ordered(request: Request, kind: Literal["edge", "worker"], name: str) -> EdgeRecord | WorkerRecord:
        wish = await _wish(request)
        await cluster.drain(kind, name, wish.deadline_s)
        _log.info("drain ordered", **{kind: name}, deadline_s=wish.deadline_s)
        return await member(kind, name)

    async def member(kind: Literal["edge", "worker"], name: str) -> EdgeRecord | WorkerRecord:
        members = await cluster.members()
        found = members.edge(name) if kind == "edge" else members.worker(name)
        if found is None:
            raise UnknownMemberError(f"there is no live {kind} {name}")
        return found

    return router


async def _wish(request: Request) -> DrainRequest:
    """The body, which may be left out. Raises Problem."""
    body = await read_body(request, _MOST_BYTES)
    if not body:
        return DrainRequest()
    media_type(request, JSON)
    return read_json(DrainRequest, read_text(body))
