"""What a worker adds to its sessions' traces: that it took one up, the first frames each way, and the turns.

How a trace is recorded and handed on is `antiphon.spans`' business.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from antiphon.spans import OFF, Span, Tracing, beneath

if TYPE_CHECKING:
    from contextvars import Context

    from antiphon.worker.latency import TurnTrace
    from antiphon.worker.transport import CallInfo


class SetUp:
    """Of one session: `open`, and from there to the first frame of the caller and to the first of the agent."""

    def __init__(self, info: CallInfo, tracing: Tracing = OFF) -> None:
        self._tracing = tracing
        self._info = info
        self._open = tracing.begin(
            "open", info.trace.parent, kind="server",
            session=info.id, agent=info.agent, edge=info.edge, region=info.region, worker=info.worker, room=info.room,
        )  # fmt: skip
        self._in = self._out = Span()

    @property
    def named(self) -> dict[str, str]:
        """What the session's log lines say of its trace."""
        return self._tracing.named(self._open.traceparent)

    def context(self) -> Context:
        """For a task of the agent: what it records by OpenTelemetry's API stands beneath `open`."""
        return beneath(self._open.traceparent)

    def reply(self, trace: TurnTrace) -> Context:
        """For the reply to a turn: what it records stands beneath the turn, whose span is made when all is known."""
        trace.span = self._tracing.reserve("turn", self._info.trace.root, root=True)
        return beneath(trace.span)

    def opened(self) -> None:
        """The agent runs."""
        self._open.end()
        self._in = self._begin("first frame in")
        self._out = self._begin("first frame out")

    def moved_here(self) -> None:
        """The session runs here already: it comes from another edge."""
        self._open.tell(moved=True)
        self._open.end()

    def refused(self, reason: str) -> None:
        self._open.end(reason)

    def heard(self) -> None:
        """The caller's first frame is here."""
        self._in.end()

    def spoke(self) -> None:
        """The agent's first frame is on its way to the edge."""
        self._out.end()

    def close(self, reason: str) -> None:
        """The session is over. An agent that never said a word is no failure: nothing is told of its first."""
        self._in.end(reason)

    def _begin(self, name: str) -> Span:
        return self._tracing.begin(name, self._open.traceparent, session=self._info.id, worker=self._info.worker)


class TurnSpans:
    """A span for each turn, beneath the request that the session was made by, with a child for each stage."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def export(self, info: CallInfo, trace: TurnTrace, document: dict[str, Any]) -> None:
        """Spans begin with the caller's last sound."""
        if trace.spoke is None:
            return
        began_ns = time.time_ns() - round((asyncio.get_running_loop().time() - trace.spoke) * 1e9)
        facts: dict[str, Any] = {"session": info.id, "agent": info.agent, "edge": info.edge, "region": info.region}
        facts |= {key: document[key] for key in ("turn", "outcome", "ended_by")}
        turn = self._tracing.begin("turn", info.trace.root, root=True, at_ns=began_ns, reserved=trace.span, **facts)
        end_ns = began_ns
        for stage in trace.stages():
            start_ns, end_ns = end_ns, began_ns + round(stage.at * 1e9)
            self._tracing.begin(stage.name, turn.traceparent, at_ns=start_ns, session=info.id).end(at_ns=end_ns)
        for name, at_ms in document["marks"].items():
            turn.event(name, began_ns + round(at_ms * 1e6))
        turn.end(at_ns=end_ns)
