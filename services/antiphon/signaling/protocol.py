"""HTTP/1.1 as uvicorn speaks it, with what it lacks: a time limit for headers, and refusals as problem+json."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from antiphon.signaling.problems import Problem

if TYPE_CHECKING:
    import asyncio

_HEADERS_S = 10.0
"""From a connection's start, or a later request's first byte, until the end of its headers."""


class BoundedProtocol(H11Protocol):
    """Whoever sends headers byte by byte holds a connection for 10 s and no longer."""

    _headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._headers_due = self.loop.call_later(_HEADERS_S, self._too_late)

    def data_received(self, data: bytes) -> None:
        before, waiting = self.cycle, self._between_requests()
        super().data_received(data)
        if self.cycle is not before:
            self._stop_waiting()
        elif waiting and self._headers_due is None and not self.transport.is_closing():
            self._headers_due = self.loop.call_later(_HEADERS_S, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Called while the error that is its reason is handled."""
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        if status == 431:
            detail = "the headers are larger than signaling.max_header_bytes, the most that is taken"
            self._refuse(Problem(431, "headers_too_large", detail))
        else:
            self._refuse(Problem(400, "bad_request", msg))

    def _between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _too_late(self) -> None:
        self._headers_due = None
        if self._between_requests() and not self.transport.is_closing():
            detail = f"the headers did not arrive within {_HEADERS_S:.0f} s"
            self._refuse(Problem(408, "request_timeout", detail))

    def _stop_waiting(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _refuse(self, problem: Problem) -> None:
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            answer = problem.response()
            headers: list[Any] = [*answer.raw_headers, (b"connection", b"close")]
            for event in (
                h11.Response(status_code=problem.status, headers=headers),
                h11.Data(data=bytes(answer.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
