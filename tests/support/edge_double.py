"""An edge's control service for unit tests of signaling: real gRPC on a real port, canned SDP."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from antiphon.wire.control.v1 import edge_pb2, edge_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANSWER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n"


@dataclass
class Refusal:
    code: grpc.StatusCode
    reason: str
    message: str
    metadata: dict[str, str] = field(default_factory=dict)


class EdgeDouble(edge_pb2_grpc.EdgeControlServiceServicer):
    """Answers with canned SDP; `refusal` and `delay_s` make it misbehave."""

    def __init__(self) -> None:
        self.opened: list[edge_pb2.OpenSessionRequest] = []
        self.traces: list[tuple[str, ...]] = []
        """`traceparent` and `tracestate` of each call that opens a session."""
        self.restarted: list[edge_pb2.RestartIceRequest] = []
        self.closed: list[edge_pb2.CloseSessionRequest] = []
        self.looked_at: list[list[str]] = []
        self.live: dict[str, int] = {}
        self.refusal: Refusal | None = None
        self.unreachable_worker = ""
        self.delay_s = 0.0
        self.stopped = False
        """It answers nobody who asks for its rooms."""
        self.rooms: dict[str, list[edge_pb2.Member]] = {}

    async def OpenSession(self, request: edge_pb2.OpenSessionRequest, context: Any) -> edge_pb2.OpenSessionResponse:  # noqa: N802
        self.opened.append(request)
        told = dict(context.invocation_metadata())
        self.traces.append(tuple(told[name] for name in ("traceparent", "tracestate") if name in told))
        await asyncio.sleep(self.delay_s)
        await self._refuse(context)
        if request.worker and request.worker == self.unreachable_worker:
            await _abort(context, Refusal(grpc.StatusCode.UNAVAILABLE, "link_down", "no link to that worker"))
        self.live[request.session] = request.epoch
        return edge_pb2.OpenSessionResponse(answer=ANSWER, ufrag=f"AAe{len(self.opened)}")

    async def RestartIce(self, request: edge_pb2.RestartIceRequest, context: Any) -> edge_pb2.RestartIceResponse:  # noqa: N802
        await self._refuse(context)
        await self._find(request.session, context)
        self.restarted.append(request)
        ufrag = f"AAr{len(self.restarted)}"
        return edge_pb2.RestartIceResponse(sdpfrag=f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{'p' * 24}\r\n", ufrag=ufrag)

    async def CloseSession(self, request: edge_pb2.CloseSessionRequest, context: Any) -> edge_pb2.CloseSessionResponse:  # noqa: N802
        self.closed.append(request)
        await self._find(request.session, context)
        del self.live[request.session]
        return edge_pb2.CloseSessionResponse()

    async def GetSession(self, request: edge_pb2.GetSessionRequest, context: Any) -> edge_pb2.GetSessionResponse:  # noqa: N802
        await self._find(request.session, context)
        return self._state(request.session)

    async def GetSessions(self, request: edge_pb2.GetSessionsRequest, context: Any) -> edge_pb2.GetSessionsResponse:  # noqa: N802
        await self._refuse(context)
        self.looked_at.append(list(request.sessions))
        return edge_pb2.GetSessionsResponse(
            sessions={one: self._state(one) for one in request.sessions if one in self.live}
        )

    async def GetRooms(self, request: edge_pb2.GetRoomsRequest, context: Any) -> edge_pb2.GetRoomsResponse:  # noqa: N802
        await asyncio.sleep(60.0 if self.stopped else 0.0)
        await self._refuse(context)
        rooms = [edge_pb2.Room(name=name, members=self.rooms[name]) for name in request.rooms if name in self.rooms]
        return edge_pb2.GetRoomsResponse(rooms=rooms)

    async def ChangeMember(self, request: edge_pb2.ChangeMemberRequest, context: Any) -> edge_pb2.ChangeMemberResponse:  # noqa: N802
        await self._find(request.session, context)
        for member in (member for members in self.rooms.values() for member in members):
            if member.session == request.session:
                if request.HasField("muted"):
                    member.muted = request.muted
                if request.HasField("all"):
                    member.ClearField("hears")
                elif request.HasField("only"):
                    member.hears.CopyFrom(request.only)
        return edge_pb2.ChangeMemberResponse()

    def _state(self, session: str) -> edge_pb2.GetSessionResponse:
        asked = next((one for one in self.opened if one.session == session), edge_pb2.OpenSessionRequest())
        return edge_pb2.GetSessionResponse(
            project=asked.project,
            owner=asked.owner,
            state="connected",
            setup_us={"dtls": 31000},
            quality={"packets_in": 50.0, "rtt_ms": 12.5},
            remote="127.0.0.1:5000",
            security="DTLS 1.3",
        )

    async def _find(self, session: str, context: Any) -> None:
        if session not in self.live:
            await _abort(context, Refusal(grpc.StatusCode.NOT_FOUND, "unknown_session", "no such session here"))

    async def _refuse(self, context: Any) -> None:
        if self.refusal is not None:
            await _abort(context, self.refusal)


async def _abort(context: Any, refusal: Refusal) -> None:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=refusal.reason, domain="antiphon", metadata=refusal.metadata))
    status = status_pb2.Status(code=refusal.code.value[0], message=refusal.message, details=[detail])
    await context.abort(refusal.code, refusal.message, (("grpc-status-details-bin", status.SerializeToString()),))


@asynccontextmanager
async def serving(double: EdgeDouble) -> AsyncIterator[str]:
    """Yields host:port."""
    server = grpc.aio.server()
    edge_pb2_grpc.add_EdgeControlServiceServicer_to_server(double, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=0)
