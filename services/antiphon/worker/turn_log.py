"""What becomes of turns' latency traces: histograms with exemplars, the cluster's memory, OpenTelemetry spans.

A call hands its trace over and goes on; Redis hears of it a moment later, and one that is away loses no call a frame.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from antiphon.errors import UnavailableError
from antiphon.spans import trace_id
from antiphon.telemetry import get_logger
from antiphon.worker import metrics

if TYPE_CHECKING:
    from antiphon.cluster import Cluster
    from antiphon.worker.latency import TurnTrace
    from antiphon.worker.spans import TurnSpans
    from antiphon.worker.transport import CallInfo

_log = get_logger("worker")
_MOST_WAITING = 4096
_PAUSE_S = 1.0


class TurnLog:
    """`take` may be called from the event loop at any time; `keep` writes until it is cancelled."""

    def __init__(self, spans: TurnSpans | None = None) -> None:
        self._spans = spans
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._wake = asyncio.Event()

    def take(self, info: CallInfo, trace: TurnTrace, document: dict[str, Any]) -> None:
        observe(info, trace, document)
        if self._spans is not None:
            self._spans.export(info, trace, document)
        if len(self._waiting) >= _MOST_WAITING:
            metrics.dropped("turn_trace", "memory_away")
            self._waiting.popleft()
        self._waiting.append((info.id, document))
        self._wake.set()

    async def keep(self, cluster: Cluster) -> None:
        """Tells the cluster's memory of what was taken, oldest first."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                session = self._waiting[0][0]
                mine = [document for id_, document in self._waiting if id_ == session]
                try:
                    await cluster.session(session).note_turns(mine)
                except UnavailableError as error:
                    _log.warning("turns are not noted yet", waiting=len(self._waiting), error=str(error))
                    await asyncio.sleep(_PAUSE_S)
                    continue
                noted = {id(document) for document in mine}
                self._waiting = deque(one for one in self._waiting if id(one[1]) not in noted)


def observe(info: CallInfo, trace: TurnTrace, document: dict[str, Any]) -> None:
    """Counts a turn; an exemplar leads from a bucket to the session and turn that were last in it, and their trace."""
    metrics.TRACED_TURNS.labels(document["outcome"]).inc()
    exemplar = {"session": info.id[:64], "turn": str(document["turn"])}  # 128 characters with names, at most
    if recorded := trace_id(info.trace.root):
        exemplar["trace_id"] = recorded
    for stage in trace.stages():
        metrics.STAGE_SECONDS.labels(stage.name).observe(stage.took, exemplar)
    if trace.whole is not None:
        metrics.RESPONSE_SECONDS.labels(info.agent).observe(trace.whole, exemplar)
