"""A session's trace in OpenTelemetry: what services record of its set-up, and how one hands it on to the next.

A trace is handed on as W3C Trace Context has it, as a `traceparent`. Where nothing is to be recorded, spans do nothing
but hand it on. Recording is configured by the standard OTEL_ variables and needs `antiphon[otel]`. Turns are the
worker's business.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from structlog.contextvars import bound_contextvars

from antiphon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import SpanContext

Fact = str | bool | int | float | None
Kind = Literal["internal", "server", "client"]

TRACEPARENT = "traceparent"
"""The HTTP header, and the gRPC metadata."""
TRACE_KEY = "antiphon.trace"
"""In the metadata that a worker is told: see `Trace`. Only signaling and the edge may say it."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_FORM = re.compile(
    r"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL
)
_LONGEST = 512
_FLUSH_S = 3.0
"""So long a service that stops waits for a collector to take what is left."""
_NAMES = {
    "session": "session.id",
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "error": "error.type",
    "rpc": "rpc.method",
}
_current: ContextVar[str] = ContextVar("antiphon_traceparent", default="")


class Trace(NamedTuple):
    """What a worker is told of a session's trace, each as a `traceparent`; empty where there is none."""

    root: str = ""
    """The request that the session was made by."""
    parent: str = ""
    """What led to the worker."""


NO_TRACE = Trace()


def traceparent_in(text: str) -> str:
    """The text in version 00, or nothing where it is none: W3C Trace Context, section 3.2."""
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or (found[1] == "00" and found[3]):
        return ""
    return f"00-{found[2]}"


def traceparent_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """That of a gRPC call; nothing where it has none, or several."""
    found = [value for name, value in metadata or () if name == TRACEPARENT]
    return traceparent_in(found[0]) if len(found) == 1 and isinstance(found[0], str) else ""


def trace_in(told: object) -> Trace:
    """What stands under `TRACE_KEY`. Whatever makes no sense counts for nothing."""
    known: Mapping[str, object] = told if isinstance(told, dict) else {}
    root, parent = (traceparent_in(str(known.get(name, ""))) for name in Trace._fields)
    return Trace(root or parent, parent or root)


def trace_id(traceparent: str) -> str:
    """32 hexadecimal digits; empty where the trace is not recorded by who handed it on."""
    return traceparent[3:35] if traceparent and int(traceparent[-2:], 16) & 1 else ""


def current() -> str:
    """The `traceparent` of the span that stands open here; empty where none does."""
    return _current.get()


class Span:
    """Records nothing. Moments are nanoseconds since 1970."""

    def __init__(self, traceparent: str = "") -> None:
        self.traceparent = traceparent
        """For what follows from it."""

    def tell(self, **facts: Fact) -> None:
        """Adds attributes: `session`, `status` and the like by OpenTelemetry's names, others under `antiphon.`."""

    def event(self, name: str, at_ns: int | None = None, **facts: Fact) -> None: ...

    def follows(self, traceparent: str) -> None:
        """Links it to a span of another trace."""

    def end(self, failed: str = "", at_ns: int | None = None) -> None:
        """`failed`: why, in a word. The first end counts."""

    def here(self) -> AbstractContextManager[Any]:
        """While it lasts, log lines name the trace."""
        return nullcontext()


class Tracing:
    """Records nothing, and hands on what it is given."""

    records = False

    def begin(
        self,
        name: str,
        parent: str,
        *,
        root: bool = False,
        kind: Kind = "internal",
        at_ns: int | None = None,
        **facts: Fact,
    ) -> Span:
        """Its caller ends it. Without a parent nothing is recorded, unless it may be a trace's `root`."""
        del name, root, kind, at_ns, facts
        return Span(parent)

    @contextmanager
    def span(
        self, name: str, parent: str | None = None, *, root: bool = False, kind: Kind = "internal", **facts: Fact
    ) -> Iterator[Span]:
        """Stands open while the context lasts; by default a child of the one that stands open here."""
        begun = self.begin(name, current() if parent is None else parent, root=root, kind=kind, at_ns=None, **facts)
        token = _current.set(begun.traceparent)
        try:
            with begun.here():
                yield begun
        except BaseException as error:
            begun.end(type(error).__name__)
            raise
        finally:
            _current.reset(token)
            begun.end()

    def named(self, traceparent: str) -> dict[str, str]:
        """What a log line says of the trace."""
        del traceparent
        return {}

    def close(self) -> None:
        """Sends what waits; blocks for 3 s at most."""


OFF = Tracing()


class _RecordedSpan(Span):
    def __init__(self, span: OtelSpan, parent: str) -> None:
        context = span.get_span_context()
        super().__init__(_traceparent(context) if context.is_valid else parent)
        self._span = span
        self._ended = False

    def tell(self, **facts: Fact) -> None:
        self._span.set_attributes(_attributes(facts))

    def event(self, name: str, at_ns: int | None = None, **facts: Fact) -> None:
        self._span.add_event(name, _attributes(facts), at_ns)

    def follows(self, traceparent: str) -> None:
        if traceparent:
            self._span.add_link(_span_context(traceparent))

    def end(self, failed: str = "", at_ns: int | None = None) -> None:
        from opentelemetry.trace import StatusCode

        if self._ended:
            return
        self._ended = True
        if failed:
            self._span.set_attribute("error.type", failed)
            self._span.set_status(StatusCode.ERROR, failed)
        self._span.end(at_ns)

    @contextmanager
    def here(self) -> Iterator[None]:
        with bound_contextvars(**_named(self.traceparent)):
            yield


class _Recording(Tracing):
    """Exports from a thread of its own, in batches; what does not fit its queue is dropped there."""

    records = True

    def __init__(self, service: str, instance: str, processor: SpanProcessor) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider

        resource = Resource.create({"service.instance.id": instance})
        if not os.environ.get("OTEL_SERVICE_NAME"):
            resource = resource.merge(Resource({SERVICE_NAME: f"antiphon-{service}"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("antiphon")

    def begin(
        self,
        name: str,
        parent: str,
        *,
        root: bool = False,
        kind: Kind = "internal",
        at_ns: int | None = None,
        **facts: Fact,
    ) -> Span:
        from opentelemetry.trace import SpanKind

        if not parent and not root:
            return Span()
        span = self._tracer.start_span(
            name, _context(parent), SpanKind[kind.upper()], attributes=_attributes(facts), start_time=at_ns
        )
        return _RecordedSpan(span, parent)

    def named(self, traceparent: str) -> dict[str, str]:
        return _named(traceparent)

    def close(self) -> None:
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(_FLUSH_S)


def recording(service: str, instance: str, processor: SpanProcessor) -> Tracing:
    """service: signaling, edge or worker; instance: its id. The sampler is as the OTEL_ variables say."""
    return _Recording(service, instance, processor)


def asked_for() -> bool:
    """Whether the environment names an endpoint, and does not switch OpenTelemetry off."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not disabled and os.environ.get("OTEL_TRACES_EXPORTER") != "none" and any(map(os.environ.get, _ENDPOINTS))


def configured(service: str, instance: str) -> Tracing:
    """OFF where it is not asked for. Raises ConfigError where it is, and the packages are missing."""
    if not asked_for():
        return OFF
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigError(
            f"{' or '.join(_ENDPOINTS)} is set, but OpenTelemetry is not installed: pip install 'antiphon[otel]'"
        ) from None
    return recording(service, instance, BatchSpanProcessor(OTLPSpanExporter()))


def _attributes(facts: Mapping[str, Fact]) -> dict[str, str | bool | int | float]:
    return {_NAMES.get(name, f"antiphon.{name}"): value for name, value in facts.items() if value not in {None, ""}}


def _named(traceparent: str) -> dict[str, str]:
    return {"trace_id": traceparent[3:35], "span_id": traceparent[36:52]} if traceparent else {}


def _traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _span_context(traceparent: str) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace, span, flags = traceparent.split("-")
    return SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _context(parent: str) -> Context:
    """What a span is begun in; never in what somebody else left open here."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    return set_span_in_context(NonRecordingSpan(_span_context(parent)), Context()) if parent else Context()
