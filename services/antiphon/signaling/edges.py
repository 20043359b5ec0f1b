"""Calls edges' control service: one channel an edge, deadlines on everything, and refusals as values."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from antiphon.certificates import for_client
from antiphon.errors import AntiphonError
from antiphon.signaling.metrics import EDGE_CALLS
from antiphon.spans import OFF, current, headers_of
from antiphon.wire.control.v1 import edge_pb2, edge_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from antiphon.certificates import Certificates, Pem
    from antiphon.spans import Tracing

OPEN_S = 4.0
"""An edge may have to dial the worker first."""
_ASK_S = 1.5
_MOST_CHANNELS = 256
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 20000),
    ("grpc.keepalive_timeout_ms", 5000),
)
_UNREACHABLE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


class EdgeRefusedError(AntiphonError):
    """An edge did not do as asked. `reason` is its word for programs, or the gRPC status where it gave none."""

    def __init__(self, message: str, *, code: grpc.StatusCode, reason: str, metadata: Mapping[str, str]) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata = metadata

    @property
    def blames_the_request(self) -> bool:
        return self.code is grpc.StatusCode.INVALID_ARGUMENT

    @property
    def unreachable(self) -> bool:
        """No word from the edge itself: it may or may not have done it."""
        return self.code in _UNREACHABLE and self.reason == self.code.name.lower()


class Edges:
    """Control stubs by address, over mutual TLS where `certificates` are given."""

    def __init__(self, certificates: Certificates | None = None, tracing: Tracing = OFF) -> None:
        self._tracing = tracing
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._certificates = certificates
        self._shown = certificates.current if certificates else None

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close(grace=None)
        self._channels.clear()
        await asyncio.gather(*self._closing)

    async def open(self, address: str, request: edge_pb2.OpenSessionRequest) -> edge_pb2.OpenSessionResponse:
        return await self._call(address, "OpenSession", request, OPEN_S)  # type: ignore[no-any-return]

    async def restart_ice(self, address: str, request: edge_pb2.RestartIceRequest) -> edge_pb2.RestartIceResponse:
        return await self._call(address, "RestartIce", request, _ASK_S)  # type: ignore[no-any-return]

    async def close_session(self, address: str, request: edge_pb2.CloseSessionRequest) -> None:
        await self._call(address, "CloseSession", request, _ASK_S)

    async def get(self, address: str, session: str) -> edge_pb2.GetSessionResponse:
        request = edge_pb2.GetSessionRequest(session=session)
        return await self._call(address, "GetSession", request, _ASK_S)  # type: ignore[no-any-return]

    async def get_many(self, address: str, sessions: Iterable[str]) -> Mapping[str, edge_pb2.GetSessionResponse]:
        request = edge_pb2.GetSessionsRequest(sessions=sessions)
        found = await self._call(address, "GetSessions", request, _ASK_S)
        return found.sessions  # type: ignore[no-any-return]

    async def rooms(self, address: str, names: Iterable[str], *, within_s: float = _ASK_S) -> list[edge_pb2.Room]:
        found = await self._call(address, "GetRooms", edge_pb2.GetRoomsRequest(rooms=names), within_s)
        return list(found.rooms)

    async def change_member(self, address: str, request: edge_pb2.ChangeMemberRequest) -> None:
        await self._call(address, "ChangeMember", request, _ASK_S)

    async def _call(self, address: str, method: str, request: object, timeout: float) -> Any:  # noqa: ANN401, ASYNC109
        stub = edge_pb2_grpc.EdgeControlServiceStub(await self._channel(address))
        session = getattr(request, "session", "")
        with self._tracing.span(f"EdgeControlService/{method}", kind="client", rpc=method, session=session) as span:
            handed_on = headers_of(current()) or None
            try:
                response = await getattr(stub, method)(request, timeout=timeout, metadata=handed_on)
            except grpc.aio.AioRpcError as error:
                EDGE_CALLS.labels(method, error.code().name).inc()
                refusal = _refusal(error, address)
                span.end(refusal.reason)
                raise refusal from None
        EDGE_CALLS.labels(method, "OK").inc()
        return response

    async def _channel(self, address: str) -> grpc.aio.Channel:
        if self._certificates is not None and self._certificates.current is not self._shown:
            self._show_anew(self._certificates.current)
        channel = self._channels.pop(address, None) or self._open(address)
        self._channels[address] = channel  # the last one used stands last
        if len(self._channels) > _MOST_CHANNELS:
            oldest = next(iter(self._channels))
            await self._channels.pop(oldest).close(grace=OPEN_S)
        return channel

    def _open(self, address: str) -> grpc.aio.Channel:
        if self._certificates is None or self._shown is None:
            return grpc.aio.insecure_channel(address, options=_OPTIONS)
        name = self._certificates.server_name
        options = (*_OPTIONS, *((("grpc.ssl_target_name_override", name),) if name else ()))
        return grpc.aio.secure_channel(address, for_client(self._shown), options=options)

    def _show_anew(self, pem: Pem) -> None:
        """A channel keeps what it was opened with: those of before end with the calls that they carry."""
        self._shown = pem
        before, self._channels = self._channels, {}
        for channel in before.values():
            self._closing.add(closing := asyncio.create_task(channel.close(grace=OPEN_S)))
            closing.add_done_callback(self._closing.discard)


def _refusal(error: grpc.aio.AioRpcError, address: str) -> EdgeRefusedError:
    """Reads google.rpc.ErrorInfo of our domain out of the trailers."""
    code = error.code()
    trailers: Any = error.trailing_metadata()  # grpc-stubs does not know that it is a sequence of pairs
    for _, value in (pair for pair in trailers or () if pair[0] == "grpc-status-details-bin"):
        status = status_pb2.Status.FromString(value)
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == "antiphon":
                return EdgeRefusedError(status.message, code=code, reason=info.reason, metadata=dict(info.metadata))
    words = f"the edge's control at {address} gave no answer" if code in _UNREACHABLE else error.details() or code.name
    return EdgeRefusedError(words, code=code, reason=code.name.lower(), metadata={})
