"""Makes the latency traces of one call's turns, and publishes each once: to the caller, and to who keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from antiphon.worker import data

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.turns.actions import Committed
    from antiphon.worker.latency import TurnTrace
    from antiphon.worker.listening import Listener
    from antiphon.worker.reply import Reply
    from antiphon.worker.transport import CallInfo, Transport
    from antiphon.worker.turn import Turn


class Tracer:
    def __init__(self, info: CallInfo, transport: Transport, tell: Callable[[str, dict[str, Any]], None]) -> None:
        self._info = info
        self.transport = transport
        self._tell = tell

    def committed(self, turn: Turn, commit: Committed, listener: Listener, rtt_s: float | None) -> None:
        """The trace begins with what is known of the turn's end."""
        earliest, received = listener.at_the_edge(commit.ended_s, turn.audio)
        here = self.transport.worker_s
        turn.trace.committed(
            commit,
            spoke=here(earliest) - (rtt_s or 0.0) / 2,
            received=here(received),
            detected=listener.when(commit.tentative_s),
            at=listener.when(commit.at_s),
        )

    def over(
        self,
        turn: Turn,
        outcome: str,
        listener: Listener | None,
        traced: Callable[[CallInfo, TurnTrace, dict[str, Any]], None],
    ) -> None:
        """Nothing more belongs to the trace. Without a listener, the last sound is where voice was detected last."""
        trace = turn.trace
        if trace.commit is None or trace.over:
            return
        ended = trace.commit.ended_s
        if listener is not None:
            last = listener.last_sound_s(turn.audio, ended)
            _, received = listener.at_the_edge(last, turn.audio)
            trace.trim(ended - last, self.transport.worker_s(received))
        trace.over = True
        document = trace.document(turn.number, outcome)
        traced(self._info, trace, document)
        self._tell("turnTrace", data.turn_trace(document))


def outcome_of(reply: Reply, *, closed: bool) -> str:
    """Of a reply that ends before anything of it was heard."""
    if reply.lost == "withdrawn":
        return "withdrawn"
    if closed:
        return "closed"
    return "unheard" if "frame" in reply.turn.trace.moments else "silent"
