"""What becomes of turns' traces: histograms with exemplars, spans, and the cluster's memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from antiphon import telemetry
from antiphon.cluster import Cluster
from antiphon.errors import UnavailableError
from antiphon.spans import Trace
from antiphon.turns.actions import Committed, Reason
from antiphon.worker.latency import Playout, TurnTrace
from antiphon.worker.spans import TurnSpans
from antiphon.worker.transport import CallInfo
from antiphon.worker.turn_log import TurnLog
from tests.support.spans import Kept, needs_opentelemetry
from tests.support.wait import until

if TYPE_CHECKING:
    from antiphon.cluster.embedded import EmbeddedValkey

INFO = CallInfo("ses_test_1", 1, "parrot", {}, "127.0.0.1", "edge-test", "test", "worker-test")


def answered() -> TurnTrace:
    trace = TurnTrace()
    trace.mark("searched", 10.3)
    commit = Committed(3.0, 1.0, 2.5, 2.8, Reason.END_OF_TURN, 0.9)
    trace.committed(commit, spoke=10.0, received=10.03, detected=10.2, at=10.4)
    trace.mark("frame", 10.5)
    trace.played(Playout(10.5, 0.02, 0.1, by_device=True))
    return trace


async def test_turns_are_counted_with_exemplars_for_who_accepts_them() -> None:
    trace = answered()
    TurnLog().take(INFO, trace, trace.document(7, "answered"))
    page, kind = telemetry.metrics_page("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    buckets = [
        line for line in page.decode().splitlines() if "response_seconds_bucket" in line and "ses_test_1" in line
    ]
    assert buckets
    assert buckets[0].partition(" # ")[2].startswith('{session="ses_test_1",turn="7"} 0.')
    plain, kind = telemetry.metrics_page("text/plain")
    assert kind.startswith("text/plain")
    assert b"ses_test_1" not in plain


async def test_an_exemplar_leads_to_the_session_s_trace_where_it_is_recorded() -> None:
    trace = answered()
    for name, flags in (("ses_recorded", "01"), ("ses_not_recorded", "00")):
        info = replace(INFO, id=name.ljust(64, "x"), trace=Trace(root=f"00-{'a' * 32}-{'b' * 16}-{flags}"))
        TurnLog().take(info, trace, trace.document(10_000, "answered"))
        page, _ = telemetry.metrics_page("application/openmetrics-text; version=1.0.0")
        (exemplar, *_) = [line for line in page.decode().splitlines() if name in line]
        assert ('trace_id="' + "a" * 32 in exemplar) == (flags == "01")


async def test_turns_are_noted_in_order_once_the_memory_answers(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [UnavailableError("away"), UnavailableError("away")]
    async with Cluster(valkey.url, cell="turn-log") as cluster:
        functions = cluster.common._functions
        call = functions.call

        async def failing(name: str, *arguments: Any) -> Any:
            if failures and name == "note_turns":
                raise failures.pop()
            return await call(name, *arguments)

        monkeypatch.setattr(functions, "call", failing)
        log, trace = TurnLog(), answered()
        keeping = asyncio.create_task(log.keep(cluster))
        for number in range(1, 4):
            log.take(INFO, trace, trace.document(number, "answered"))

        async def noted() -> bool:
            return [turn["turn"] for turn in await cluster.session(INFO.id).turns()] == [1, 2, 3]

        await until(noted, what="the turns in the memory")
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


@needs_opentelemetry
async def test_a_turn_is_a_span_with_a_child_for_each_stage() -> None:
    kept, trace = Kept("worker"), answered()
    info = replace(INFO, trace=Trace(root=f"00-{'a' * 32}-{'b' * 16}-01"))
    TurnSpans(kept.tracing).export(info, trace, trace.document(7, "answered"))
    kept.tracing.close()
    *stages, turn = kept.finished
    assert turn.name == "turn"
    assert turn.parent is not None
    assert (turn.context.trace_id, turn.parent.span_id) == (int("a" * 32, 16), int("b" * 16, 16)), "of the session"
    assert [stage.name for stage in stages] == [stage.name for stage in trace.stages()]
    assert all(stage.parent is not None and stage.parent.span_id == turn.context.span_id for stage in stages)
    assert stages[0].start_time == turn.start_time
    assert stages[-1].end_time == turn.end_time
    assert (turn.end_time or 0) - (turn.start_time or 0) == pytest.approx(0.6e9, abs=1e3)
    assert (turn.attributes or {})["session.id"] == "ses_test_1"
    assert [event.name for event in turn.events] == ["searched"]
