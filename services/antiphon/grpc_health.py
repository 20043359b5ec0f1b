"""grpc.health.v1 for our gRPC servers: whether new work is taken, to ask once or to watch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
MOST_WATCHERS = 64
_LOOK_S = 0.5


class Health:
    """Answers for the whole server ("") and for one service by its full name.

    HealthCheckRequest and HealthCheckResponse have one field each and are on the wire as these wrappers are, so that no
    other generated code is needed, nor registered beside what an agent's own packages bring.
    """

    def __init__(self, service: str, serving: Callable[[], bool]) -> None:
        self._names = ("", service)
        self._serving = serving
        self._watchers = 0

    def join(self, server: grpc.aio.Server) -> None:
        """Before it starts."""
        coding: dict[str, Any] = {
            "request_deserializer": StringValue.FromString,
            "response_serializer": Int32Value.SerializeToString,
        }
        handlers = {
            "Check": grpc.unary_unary_rpc_method_handler(self.check, **coding),
            "Watch": grpc.unary_stream_rpc_method_handler(self.watch, **coding),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))

    async def check(self, request: StringValue, context: Any) -> Int32Value:  # noqa: ANN401
        status = self._status(request.value)
        if status == SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service of this name here; known: {self._names[1]}")
        return Int32Value(value=status)

    async def watch(self, request: StringValue, context: Any) -> AsyncIterator[Int32Value]:  # noqa: ANN401
        """The status at once, and each change."""
        if self._watchers >= MOST_WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MOST_WATCHERS} watch already, the most that may")
        self._watchers += 1
        try:
            told = 0
            while True:
                status = self._status(request.value)
                if status != told:
                    told = status
                    yield Int32Value(value=status)
                await asyncio.sleep(_LOOK_S)
        finally:
            self._watchers -= 1

    def _status(self, service: str) -> int:
        if service not in self._names:
            return SERVICE_UNKNOWN
        return SERVING if self._serving() else NOT_SERVING
