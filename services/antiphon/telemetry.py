"""What every service shows of itself: log lines, metrics, and /livez, /readyz and /metrics over HTTP.

Metrics live in prometheus_client's default registry under `antiphon_`; labels are bounded (regions, outcomes, reasons).
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from antiphon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence

    from antiphon.config import LogConfig

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds, from a call within a machine to one that nobody waits for."""

_HIDDEN = frozenset({"authorization", "token", "secret", "password", "pwd", "offer", "answer", "sdp", "sdpfrag"})
_NOISY = ("asyncio", "httpx", "httpcore", "uvicorn.error", "uvicorn.access", "aioice", "aiortc", "watchfiles.main")
_METRICS_TYPE = CONTENT_TYPE_LATEST


def counter(name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
    """A counter `antiphon_<name>_total`."""
    return Counter(f"antiphon_{name}", documentation, labels)


def gauge(name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
    """A gauge `antiphon_<name>`."""
    return Gauge(f"antiphon_{name}", documentation, labels)


def histogram(
    name: str, documentation: str, labels: Sequence[str] = (), buckets: Sequence[float] = LATENCY_BUCKETS
) -> Histogram:
    """A histogram `antiphon_<name>`."""
    return Histogram(f"antiphon_{name}", documentation, labels, buckets=buckets)


def metrics_page(accept: str = "") -> tuple[bytes, str]:
    """The exposition of all metrics, and its content type: OpenMetrics, which has exemplars, for who accepts it."""
    if "application/openmetrics-text" in accept:
        page: bytes = openmetrics.generate_latest(REGISTRY)  # type: ignore[no-untyped-call]
        return page, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(), _METRICS_TYPE


def configure_logging(config: LogConfig, *, service: str) -> None:
    """Sends structlog's and the standard library's lines to stderr, as text or as JSON.

    Our own lines do not pass through the standard library's logging, which would cost as much again.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
        _name_service(service),
    ]
    if config.format == "json":
        # locals of a failed call may hold keys, offers and what callers said
        traceback = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        shared += [structlog.processors.ExceptionRenderer(traceback), structlog.processors.JSONRenderer()]
    else:
        shared += [structlog.processors.format_exc_info, _text]
    foreign: list[structlog.typing.Processor] = [
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=foreign, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shared]
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(config.level.upper())
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=shared,
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(config.level),
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; `name` is the part that speaks, such as "edge.control"."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _name_service(service: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401
        event.setdefault("service", service)
        return event

    return add


def _hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401
    for key in event.keys() & _HIDDEN:
        event[key] = "(hidden)"
    return event


def _text(_: Any, __: str, event: MutableMapping[str, Any]) -> str:  # noqa: ANN401
    """`12:30:01.123 edge-frankfurt  info     session opened  agent=parrot session=ses_...`."""
    when = str(event.pop("timestamp", ""))[11:23]
    service, level = event.pop("service", ""), event.pop("level", "")
    trace = event.pop("exception", None)
    said = str(event.pop("event", ""))
    rest = " ".join(f"{key}={_short(event[key])}" for key in sorted(event))
    line = f"{when} {service:<16} {level:<8} {said}" + (f"  {rest}" if rest else "")
    return f"{line}\n{trace}" if trace else line


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return repr(text) if not text or any(c.isspace() for c in text) else text


@asynccontextmanager
async def serve(host: str, port: int, ready: Callable[[], bool]) -> AsyncIterator[int]:
    """Serves /livez, /readyz and /metrics while the context lasts; yields the port, which is free-chosen for 0.

    /livez says 200 for as long as the event loop turns; /readyz says 503 while `ready()` is false.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_respond(head, ready))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # a client that left or dawdled; nothing was promised to it
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    try:
        server = await asyncio.start_server(handle, host, port, limit=16 * 1024)
    except OSError as error:
        raise ConfigError(
            f"/livez, /readyz and /metrics cannot be served on {host}:{port}: {error.strerror or error}; stop what "
            "listens there, or set http_host and http_port"
        ) from None
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def _header(head: bytes, name: bytes) -> str:
    """A request's header; empty where it has none."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode("latin-1")
    return ""


def _respond(head: bytes, ready: Callable[[], bool]) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
    status, kind, body = HTTPStatus.OK, "text/plain; charset=utf-8", b"ok\n"
    if method not in {b"GET", b"HEAD"}:
        status, body = HTTPStatus.METHOD_NOT_ALLOWED, b"GET only\n"
    elif path == b"/metrics":
        body, kind = metrics_page(_header(head, b"accept"))
    elif path == b"/readyz" and not ready():
        status, body = HTTPStatus.SERVICE_UNAVAILABLE, b"not ready\n"
    elif path not in {b"/livez", b"/readyz"}:
        status, body = HTTPStatus.NOT_FOUND, b"/livez, /readyz, /metrics\n"
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"content-type: {kind}",
        f"content-length: {len(body)}",
        "cache-control: no-store",
        "connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if method == b"HEAD" else body)
