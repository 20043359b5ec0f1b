"""Turns as OpenTelemetry spans: one a turn, a child for each stage. Configured by the standard OTEL_ variables.

Needs `antiphon[otel]`, and OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT; without, nothing is made.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from antiphon.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Tracer

    from antiphon.worker.latency import TurnTrace
    from antiphon.worker.transport import CallInfo

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Spans:
    """Exports from a thread of its own, in batches; what does not fit its queue is dropped there."""

    def __init__(self, worker: str, processor: SpanProcessor) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        resource = Resource.create({"service.name": "antiphon-worker", "service.instance.id": worker})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(processor)
        self._tracer: Tracer = self._provider.get_tracer("antiphon")

    def export(self, info: CallInfo, trace: TurnTrace, document: dict[str, Any]) -> None:
        """Spans begin with the caller's last sound."""
        from opentelemetry.trace import set_span_in_context

        if trace.spoke is None:
            return
        began_ns = time.time_ns() - round((asyncio.get_running_loop().time() - trace.spoke) * 1e9)
        attributes = {
            "session.id": info.id,
            "antiphon.agent": info.agent,
            "antiphon.edge": info.edge,
            "antiphon.region": info.region,
            **{
                f"antiphon.{key}": document[key] for key in ("turn", "outcome", "ended_by") if document[key] is not None
            },
        }
        turn = self._tracer.start_span("turn", start_time=began_ns, attributes=attributes)
        within, end_ns = set_span_in_context(turn), began_ns
        for stage in trace.stages():
            start_ns, end_ns = end_ns, began_ns + round(stage.at * 1e9)
            self._tracer.start_span(stage.name, within, start_time=start_ns).end(end_ns)
        for name, at_ms in document["marks"].items():
            turn.add_event(name, timestamp=began_ns + round(at_ms * 1e6))
        turn.end(end_ns)

    def close(self) -> None:
        """Sends what waits."""
        self._provider.shutdown()


def configured(worker: str) -> Spans | None:
    """None where no endpoint is named. Raises ConfigError where one is, and the packages are missing."""
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigError(
            f"{' or '.join(_ENDPOINTS)} is set, but OpenTelemetry is not installed: pip install 'antiphon[otel]'"
        ) from None
    return Spans(worker, BatchSpanProcessor(OTLPSpanExporter()))
