"""Spans that services in the test's own process record, where OpenTelemetry is installed."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from antiphon.spans import recording

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.trace import Tracer

    from antiphon.spans import Tracing

needs_opentelemetry = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.sdk") is None, reason="OpenTelemetry is an extra"
)


class Kept:
    """What a service in this process recorded."""

    def __init__(self, service: str = "signaling") -> None:
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415

        self._exporter = InMemorySpanExporter()
        self.tracing: Tracing = recording(service, f"{service}-test", SimpleSpanProcessor(self._exporter))

    @property
    def tracer(self) -> Tracer:
        """As an agent's code has one, where nobody else has set OpenTelemetry up."""
        provider: TracerProvider = self.tracing._provider  # type: ignore[attr-defined]
        return provider.get_tracer("an agent")

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        """In the order of their ends."""
        return self._exporter.get_finished_spans()

    @property
    def spans(self) -> list[ReadableSpan]:
        return sorted(self.finished, key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]
