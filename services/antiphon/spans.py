"""A session's trace in OpenTelemetry: what services record of its set-up, and how one hands it on to the next.

A trace is handed on as W3C Trace Context has it, as a `traceparent` and a `tracestate`; within Antiphon as one text,
the one before the other with a `;` between, or the first alone. Where nothing is to be recorded, spans do nothing but
hand it on. Recording is configured by the standard OTEL_ variables and needs `antiphon[otel]`. Turns are the worker's
business.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context as TaskContext
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from structlog.contextvars import bound_contextvars

from antiphon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import SpanContext

Fact = str | bool | int | float | None
Kind = Literal["internal", "server", "client"]

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
"""The HTTP headers, and the gRPC metadata."""
TRACE_KEY = "antiphon.trace"
"""In the metadata that a worker is told: see `Trace`. Only signaling and the edge may say it."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_FORM = re.compile(
    r"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL
)
_LONGEST = 512
_KEY = r"[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?"
_MEMBER = re.compile(rf"({_KEY})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e])", re.ASCII)
_MOST_MEMBERS = 32
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
_reserved: ContextVar[str] = ContextVar("antiphon_reserved_span", default="")


class Trace(NamedTuple):
    """What a worker is told of a session's trace, each as it is handed on; empty where there is none."""

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


def tracestate_in(text: str) -> str:
    """The list without empty members, or nothing where it is none: W3C Trace Context, section 3.3."""
    members = [member.strip(" \t") for member in text.split(",") if member.strip(" \t")]
    found = [_MEMBER.fullmatch(member) for member in members]
    keys = {one[1] for one in found if one is not None}
    fits = len(text) <= _LONGEST and len(keys) == len(members) <= _MOST_MEMBERS
    return ",".join(members) if fits else ""


def handed_in(traceparents: Sequence[str], tracestates: Sequence[str]) -> str:
    """What an asker hands on, of the values of both headers: nothing where there is no trace, or there are several."""
    parent = traceparent_in(traceparents[0].strip()) if len(traceparents) == 1 else ""
    state = tracestate_in(",".join(tracestates)) if parent else ""
    return f"{parent};{state}" if state else parent


def handed_in_call(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The same of a gRPC call."""
    told = [(name, value) for name, value in metadata or () if isinstance(value, str)]
    return handed_in(*([value for name, value in told if name == wanted] for wanted in (TRACEPARENT, TRACESTATE)))


def headers_of(context: str) -> tuple[tuple[str, str], ...]:
    """To hand it on with, over HTTP and gRPC."""
    parent, _, state = context.partition(";")
    return tuple((name, value) for name, value in ((TRACEPARENT, parent), (TRACESTATE, state)) if value)


def context_in(text: str) -> str:
    """One text as it is handed on within Antiphon, or nothing where it is none."""
    parent, _, state = text.partition(";")
    return handed_in([parent], [state])


def trace_in(told: object) -> Trace:
    """What stands under `TRACE_KEY`. Whatever makes no sense counts for nothing."""
    known: Mapping[str, object] = told if isinstance(told, dict) else {}
    root, parent = (context_in(str(known.get(name, ""))) for name in Trace._fields)
    return Trace(root or parent, parent or root)


def trace_id(context: str) -> str:
    """32 hexadecimal digits; empty where the trace is not recorded by who handed it on."""
    return context[3:35] if context and int(context[53:55], 16) & 1 else ""


def current() -> str:
    """What the span hands on that stands open here; empty where none does."""
    return _current.get()


def beneath(context: str) -> TaskContext:
    """For a task of somebody else's code: this one's context, in which spans of OpenTelemetry's API stand beneath."""
    here, api = copy_context(), sys.modules.get("opentelemetry.context")
    if context and api is not None:
        here.run(api.attach, _context(context))
    return here


class Span:
    """Records nothing. Moments are nanoseconds since 1970."""

    def __init__(self, traceparent: str = "") -> None:
        self.traceparent = traceparent
        """What it hands on to what follows from it, with the `tracestate` where there is one."""

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
        reserved: str = "",
        **facts: Fact,
    ) -> Span:
        """Its caller ends it. Without a parent nothing is recorded, unless it may be a trace's `root`."""
        del name, root, kind, at_ns, reserved, facts
        return Span(parent)

    def reserve(self, name: str, parent: str, *, root: bool = False) -> str:
        """What a span hands on that is begun later, with this as `reserved`."""
        del name, root
        return parent

    @contextmanager
    def span(
        self, name: str, parent: str | None = None, *, root: bool = False, kind: Kind = "internal", **facts: Fact
    ) -> Iterator[Span]:
        """Stands open while the context lasts; by default a child of the one that stands open here."""
        begun = self.begin(
            name, current() if parent is None else parent, root=root, kind=kind, at_ns=None, reserved="", **facts
        )
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
        super().__init__(_handed_on(context) if context.is_valid else parent)
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
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=_ids())
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
        reserved: str = "",
        **facts: Fact,
    ) -> Span:
        from opentelemetry.trace import SpanKind

        if not parent and not root:
            return Span()
        token = _reserved.set(reserved)
        try:
            span = self._tracer.start_span(
                name, _context(parent), SpanKind[kind.upper()], attributes=_attributes(facts), start_time=at_ns
            )
        finally:
            _reserved.reset(token)
        return _RecordedSpan(span, parent)

    def reserve(self, name: str, parent: str, *, root: bool = False) -> str:
        """As the sampler will decide of it."""
        from opentelemetry.sdk.trace.sampling import Decision
        from opentelemetry.trace import SpanContext, TraceFlags

        if not parent and not root:
            return ""
        ids = self._provider.id_generator
        trace = _span_context(parent).trace_id if parent else ids.generate_trace_id()
        sampled = self._provider.sampler.should_sample(_context(parent), trace, name)
        flags = TraceFlags(TraceFlags.SAMPLED if sampled.decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT)
        return _handed_on(SpanContext(trace, ids.generate_span_id(), False, flags, sampled.trace_state))

    def serve_agents(self) -> None:
        """Spans that agents record by OpenTelemetry's API go the same way, unless somebody has seen to that already."""
        from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider, set_tracer_provider

        if isinstance(get_tracer_provider(), ProxyTracerProvider):
            set_tracer_provider(self._provider)

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
    found = _Recording(service, instance, BatchSpanProcessor(OTLPSpanExporter()))
    if service == "worker":
        found.serve_agents()
    return found


def _attributes(facts: Mapping[str, Fact]) -> dict[str, str | bool | int | float]:
    return {_NAMES.get(name, f"antiphon.{name}"): value for name, value in facts.items() if value not in {None, ""}}


def _named(traceparent: str) -> dict[str, str]:
    return {"trace_id": traceparent[3:35], "span_id": traceparent[36:52]} if traceparent else {}


def _ids() -> IdGenerator:
    """Random, or what was reserved for the span that is begun."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        def generate_span_id(self) -> int:
            return _span_context(_reserved.get()).span_id if _reserved.get() else super().generate_span_id()

        def generate_trace_id(self) -> int:
            return _span_context(_reserved.get()).trace_id if _reserved.get() else super().generate_trace_id()

    return Ids()


def _handed_on(context: SpanContext) -> str:
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    state = context.trace_state.to_header() if context.trace_state else ""
    return f"{parent};{state}" if state else parent


def _span_context(context: str) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    parent, _, state = context.partition(";")
    _, trace, span, flags = parent.split("-")
    return SpanContext(
        int(trace, 16),
        int(span, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16)),
        trace_state=TraceState.from_header([state]) if state else None,
    )


def _context(parent: str) -> Context:
    """What a span is begun in; never in what somebody else left open here."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    return set_span_in_context(NonRecordingSpan(_span_context(parent)), Context()) if parent else Context()
