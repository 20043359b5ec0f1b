"""Serves EdgeControlService to signaling: a thin shell around the media plane that tells refusals as rich errors."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc
import structlog
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from antiphon.edge._media import OfferRejected
from antiphon.edge.rooms import EdgeRooms
from antiphon.edge.sessions import LiveSession
from antiphon.edge.spans import Connecting
from antiphon.errors import NoWorkerError
from antiphon.spans import OFF, TRACE_KEY, current, handed_in_call
from antiphon.wire.control.v1 import edge_pb2, edge_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from antiphon.edge._media import MediaPlane
    from antiphon.edge.links import LinkKeeper
    from antiphon.edge.metrics import EdgeMetrics
    from antiphon.edge.sessions import SessionBook
    from antiphon.spans import Tracing

    Context = grpc.aio.ServicerContext[Any, Any]

Response = TypeVar("Response")

log = structlog.get_logger(__name__)

ERROR_DOMAIN = "antiphon"


class Refusal(Exception):  # noqa: N818 - it is an answer, not a failure
    """An answer other than OK. `reason` is for programs, `message` for people."""

    def __init__(
        self, code: grpc.StatusCode, reason: str, message: str, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})

    def status(self) -> status_pb2.Status:
        detail = any_pb2.Any()
        detail.Pack(error_details_pb2.ErrorInfo(reason=self.reason, domain=ERROR_DOMAIN, metadata=self.metadata))
        return status_pb2.Status(code=self.code.value[0], message=self.message, details=[detail])


def refusal_of(error: Exception) -> Refusal:  # noqa: PLR0911 - a table
    """Says what an exception of the media plane or the links means to signaling."""
    match error:
        case Refusal():
            return error
        case OfferRejected():
            message, line = error.args
            return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "bad_offer", str(message), {"line": str(line)})
        case PermissionError():
            return Refusal(grpc.StatusCode.ABORTED, "stale_epoch", _text(error))
        case BlockingIOError():
            return Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "no_room", _text(error))
        case NoWorkerError() | ConnectionError():
            return Refusal(grpc.StatusCode.UNAVAILABLE, "link_down", _text(error))
        case ValueError():
            return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "bad_request", _text(error))
        case _:
            log.error("control request failed", exc_info=error)
            return Refusal(grpc.StatusCode.INTERNAL, "internal", "the edge failed on this request: see its log")


def _text(error: BaseException) -> str:
    return str(error.args[0]) if error.args else str(error)


def _no_session(session: str) -> Refusal:
    return Refusal(grpc.StatusCode.NOT_FOUND, "unknown_session", f"no session {session} lives on this edge")


class EdgeControl(edge_pb2_grpc.EdgeControlServiceServicer):
    """The service. While it is `draining`, no session is opened."""

    def __init__(
        self,
        plane: MediaPlane,
        links: LinkKeeper,
        book: SessionBook,
        metrics: EdgeMetrics,
        draining: Callable[[], bool],
        tracing: Tracing = OFF,
    ) -> None:
        self._tracing = tracing
        self.connecting = Connecting(tracing)
        self._plane = plane
        self._rooms = EdgeRooms(plane)
        self._links = links
        self._book = book
        self._metrics = metrics
        self._draining = draining

    async def OpenSession(  # noqa: N802 - gRPC's name
        self, request: edge_pb2.OpenSessionRequest, context: Context
    ) -> edge_pb2.OpenSessionResponse:
        return await self._answer("open_session", context, self._open(request), request.session)

    async def RestartIce(  # noqa: N802
        self, request: edge_pb2.RestartIceRequest, context: Context
    ) -> edge_pb2.RestartIceResponse:
        return await self._answer("restart_ice", context, self._restart(request), request.session)

    async def CloseSession(  # noqa: N802
        self, request: edge_pb2.CloseSessionRequest, context: Context
    ) -> edge_pb2.CloseSessionResponse:
        return await self._answer("close_session", context, self._close(request), request.session)

    async def GetSession(  # noqa: N802
        self, request: edge_pb2.GetSessionRequest, context: Context
    ) -> edge_pb2.GetSessionResponse:
        return await self._answer("get_session", context, self._get(request), request.session)

    async def GetSessions(  # noqa: N802
        self, request: edge_pb2.GetSessionsRequest, context: Context
    ) -> edge_pb2.GetSessionsResponse:
        return await self._answer("get_sessions", context, self._get_many(request))

    async def GetRooms(  # noqa: N802
        self, request: edge_pb2.GetRoomsRequest, context: Context
    ) -> edge_pb2.GetRoomsResponse:
        return await self._answer("get_rooms", context, self._rooms.told(request))

    async def ChangeMember(  # noqa: N802
        self, request: edge_pb2.ChangeMemberRequest, context: Context
    ) -> edge_pb2.ChangeMemberResponse:
        return await self._answer("change_member", context, self._change_member(request), request.session)

    async def _open(self, request: edge_pb2.OpenSessionRequest) -> edge_pb2.OpenSessionResponse:
        if self._draining():
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "draining", "this edge drains and takes no new sessions")
        if self._book.ended_at(request.session) == request.epoch:  # what is told of its end would end this one
            raise Refusal(
                grpc.StatusCode.ABORTED, "stale_epoch", f"session {request.session} ended here at epoch {request.epoch}"
            )
        metadata = _metadata(request.metadata or "{}", current())
        if request.worker or not request.room:  # members of a room may talk among themselves
            with self._tracing.span("link", session=request.session, worker=request.worker):
                await self._links.ensure(request.worker, request.worker_address)
        offered_ns = time.time_ns()
        answer, ufrag = self._plane.open_session(
            request.session,
            epoch=request.epoch,
            offer=request.offer,
            agent=request.agent,
            worker=request.worker,
            metadata=metadata,
            caller=request.caller,
            data_channel=request.data_channel if request.HasField("data_channel") else None,
            room=request.room or None,
        )
        session = LiveSession(
            request.session,
            request.epoch,
            request.agent,
            request.worker,
            request.project,
            request.owner,
            metadata,
            request.caller,
            current(),
            request.room,
        )
        self._book.opened(session)
        self.connecting.answered(session, offered_ns=offered_ns)
        log.info("session opened", session=request.session, agent=request.agent, worker=request.worker)
        return edge_pb2.OpenSessionResponse(answer=answer, ufrag=ufrag)

    async def _restart(self, request: edge_pb2.RestartIceRequest) -> edge_pb2.RestartIceResponse:
        try:
            sdpfrag, ufrag = await asyncio.to_thread(
                self._plane.restart_ice, request.session, epoch=request.epoch, sdpfrag=request.sdpfrag
            )
        except KeyError:
            raise _no_session(request.session) from None
        self._book.moved_to_epoch(request.session, request.epoch)
        return edge_pb2.RestartIceResponse(sdpfrag=sdpfrag, ufrag=ufrag)

    async def _change_member(self, request: edge_pb2.ChangeMemberRequest) -> edge_pb2.ChangeMemberResponse:
        if not self._rooms.change(request):
            raise _no_session(request.session)
        return edge_pb2.ChangeMemberResponse()

    async def _close(self, request: edge_pb2.CloseSessionRequest) -> edge_pb2.CloseSessionResponse:
        reason = request.reason or "api"
        # It waits while its shard's mailbox is full.
        if not await asyncio.to_thread(self._plane.close_session, request.session, epoch=request.epoch, reason=reason):
            raise _no_session(request.session)
        return edge_pb2.CloseSessionResponse()

    async def _get(self, request: edge_pb2.GetSessionRequest) -> edge_pb2.GetSessionResponse:
        found = await asyncio.to_thread(self._look_at, request.session)
        if found is None:
            raise _no_session(request.session)
        return found

    async def _get_many(self, request: edge_pb2.GetSessionsRequest) -> edge_pb2.GetSessionsResponse:
        return edge_pb2.GetSessionsResponse(sessions=await asyncio.to_thread(self._look_at_all, request.sessions))

    def _look_at_all(self, sessions: Iterable[str]) -> dict[str, edge_pb2.GetSessionResponse]:
        looked_at = ((session, self._look_at(session)) for session in sessions)
        return {session: found for session, found in looked_at if found}

    def _look_at(self, session: str) -> edge_pb2.GetSessionResponse | None:
        """Waits for the session's shard to answer, so it belongs on a thread of its own."""
        stats: dict[str, Any] | None = self._plane.session_stats(session)
        if stats is None:
            return None
        known = self._book.get(session)
        return edge_pb2.GetSessionResponse(
            project=known.project if known else "",
            owner=known.owner if known else "",
            state=stats["state"],
            setup_us=stats["setup_us"],
            quality=stats["quality"],
            remote=stats.get("remote") or "",
            security=stats.get("security") or "",
        )

    async def _answer(self, method: str, context: Context, work: Awaitable[Response], session: str = "") -> Response:
        """Counts the request, and turns what is raised into a status. A span, where the asker has one."""
        name, asker = method.title().replace("_", ""), handed_in_call(context.invocation_metadata())
        with self._tracing.span(f"EdgeControlService/{name}", asker, kind="server", rpc=name, session=session) as span:
            try:
                response = await work
            except Exception as error:  # noqa: BLE001 - refusal_of logs what it does not know
                refusal = refusal_of(error)
                self._metrics.answered(method, refusal.reason)
                span.end(refusal.reason)
                await _abort(context, refusal)
        self._metrics.answered(method, "ok")
        return response


def _metadata(text: str, parent: str) -> str:
    """As the worker is told it: where a span stands open here, it is what leads to the worker."""
    found = json.loads(text)
    if not isinstance(found, dict):
        msg = "metadata is no JSON object"
        raise ValueError(msg)  # noqa: TRY004 - it came as text
    if not parent:
        return text
    told = found.get(TRACE_KEY)
    return json.dumps({**found, TRACE_KEY: {**(told if isinstance(told, dict) else {}), "parent": parent}})


async def _abort(context: Context, refusal: Refusal) -> NoReturn:
    status = refusal.status()
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(refusal.code, refusal.message, details)
