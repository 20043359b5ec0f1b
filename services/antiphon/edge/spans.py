"""What an edge adds to a session's trace after its answer: the way until the caller is connected, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiphon.edge.sessions import LiveSession
    from antiphon.spans import Span, Tracing


class Connecting:
    """Spans of the sessions whose callers are on their way."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._begun: dict[str, tuple[Span, int]] = {}

    def answered(self, session: LiveSession, *, offered_ns: int) -> None:
        """offered_ns: when its offer was taken, in nanoseconds since 1970."""
        if not (self._tracing.records and session.trace):
            return
        self.closed(session.id, "replaced")
        span = self._tracing.begin(
            "connected", session.trace, at_ns=offered_ns, session=session.id, worker=session.worker
        )
        self._begun[session.id] = span, offered_ns

    def connected(self, session: str, details: Mapping[str, Any]) -> None:
        """ICE and DTLS are done: an event for each step, when it was."""
        span, offered_ns = self._begun.pop(session, (None, 0))
        if span is None:
            return
        for step, microseconds in dict(details.get("setup_us") or {}).items():
            span.event(str(step), offered_ns + 1000 * int(microseconds))
        span.tell(security=str(details.get("security") or ""))
        span.end()

    def closed(self, session: str, reason: str) -> None:
        span, _ = self._begun.pop(session, (None, 0))
        if span is not None:
            span.end(reason)
