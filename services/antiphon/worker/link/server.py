"""Serves the media link with grpc.aio: takes edges in, reads and writes their streams, tells them the pace."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from antiphon.errors import ConfigError
from antiphon.grpc_health import Health
from antiphon.grpc_reflection import tell_of
from antiphon.telemetry import get_logger
from antiphon.wire.media.v1 import link_pb2 as pb
from antiphon.wire.media.v1 import link_pb2_grpc
from antiphon.worker import metrics
from antiphon.worker.link.door import Door
from antiphon.worker.link.link import Calls, Link, Stripe, now_us
from antiphon.worker.link.pace import gather_us

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from antiphon.certificates import Certificates

_log = get_logger("worker.link")

VERSION = 1
_EOF: Any = vars(grpc.aio)["EOF"]  # the stubs lack it
_PING_S = 1.0
_STOP_S = 2.0
_OPTIONS = (
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.so_reuseport", 0),
)


class LinkServer(link_pb2_grpc.MediaLinkServiceServicer):
    """`port` is known once it is started."""

    def __init__(
        self,
        worker: str,
        calls: Calls,
        *,
        stripes: int = 1,
        certificates: Certificates | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        """certificates: mutual TLS is asked for; secrets: edges sign with one of them."""
        self.port = 0
        self._certificates = certificates
        self._door = Door(worker, secrets)
        self._worker = worker
        self._calls = calls
        self._stripes = stripes
        self._links: dict[int, Link] = {}
        self._gather_us = gather_us(1)
        self._draining = False
        self._server: grpc.aio.Server | None = None
        self.serving: Callable[[], bool] = lambda: not self._draining
        """What grpc.health.v1 tells."""

    @property
    def links(self) -> int:
        return len(self._links)

    async def start(self, host: str, port: int) -> None:
        self._server = grpc.aio.server(options=_OPTIONS)
        link_pb2_grpc.add_MediaLinkServiceServicer_to_server(self, self._server)
        Health("antiphon.media.v1.MediaLinkService", self._serves).join(self._server)
        tell_of("antiphon.media.v1.MediaLinkService", self._server)
        try:
            self.port = self._listen(self._server, f"{host}:{port}")
        except RuntimeError as error:
            raise ConfigError(
                f"cannot serve the media link on {host}:{port}, which is taken, or no address of this machine: stop "
                "what listens there, or set worker.host and worker.port"
            ) from error
        await self._server.start()

    def _listen(self, server: grpc.aio.Server, address: str) -> int:
        if self._certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, self._certificates.for_server())

    def _serves(self) -> bool:
        return self.serving()

    def drain(self) -> None:
        """Takes no new links."""
        self._draining = True

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(_STOP_S)

    async def Control(self, requests: Any, context: Any) -> None:  # noqa: N802, ANN401
        del requests  # read() costs less than the iterator
        link = await self._accept(await context.read(), context)
        _log.info("edge linked", edge=link.edge, region=link.region)
        try:
            welcome = pb.Welcome(worker=self._worker, stripes=self._stripes, pace=pb.Pace(gather_us=self._gather_us))
            await context.write(pb.ControlResponse(welcome=welcome))
            await _together(self._read_control(link, context), self._write_control(link, context), self._ping(link))
        finally:
            if self._links.get(link.id) is link:
                del self._links[link.id]
            link.close()
            self._forget_edge(link)
            self._set_pace()
            _log.info("edge unlinked", edge=link.edge)

    async def _accept(self, first: Any, context: Any) -> Link:  # noqa: ANN401
        if first is _EOF or first.WhichOneof("message") != "hello":
            await _refuse(context, "protocol", grpc.StatusCode.INVALID_ARGUMENT, "the first message must be Hello")
        hello = first.hello
        if hello.version != VERSION:
            message = (
                f"edge speaks version {hello.version} of the media link, this worker {VERSION}: upgrade the older one"
            )
            await _refuse(context, "version", grpc.StatusCode.FAILED_PRECONDITION, message)
        await self._check(hello.edge, hello.link, context)
        if self._draining:
            await _refuse(context, "draining", grpc.StatusCode.UNAVAILABLE, "this worker is shutting down")
        if hello.link in self._links:
            await _refuse(context, "duplicate", grpc.StatusCode.ALREADY_EXISTS, "this link is open already")
        link = self._links[hello.link] = Link(hello, self._worker, self._stripes, self._calls)
        self._set_pace(but=link)
        return link

    async def _check(self, edge: str, link: int, context: Any) -> None:  # noqa: ANN401
        if not self._door.admits(edge, link, context.invocation_metadata() or ()):
            message = "this edge did not sign its link: set the same registration_secrets on edges and workers"
            await _refuse(context, "unsigned", grpc.StatusCode.UNAUTHENTICATED, message)

    @staticmethod
    async def _read_control(link: Link, context: Any) -> None:  # noqa: ANN401
        while (message := await context.read()) is not _EOF:
            link.handle_control(message)

    @staticmethod
    async def _write_control(link: Link, context: Any) -> None:  # noqa: ANN401
        while True:
            await context.write(await link.outgoing.get())

    @staticmethod
    async def _ping(link: Link) -> None:
        while True:
            link.control(pb.ControlResponse(ping=pb.Ping(sent_us=now_us())))
            await asyncio.sleep(_PING_S)

    async def Media(self, requests: Any, context: Any) -> None:  # noqa: N802, ANN401
        del requests
        first = await context.read()
        link = self._links.get(first.hello.link) if first is not _EOF and first.HasField("hello") else None
        if link is None:
            await _refuse(
                context, "protocol", grpc.StatusCode.NOT_FOUND, "Media without an open Control stream of its link"
            )
            return
        await self._check(link.edge, link.id, context)
        if first.hello.stripe >= len(link.stripes):
            await _refuse(
                context, "protocol", grpc.StatusCode.OUT_OF_RANGE, f"stripe {first.hello.stripe} of {self._stripes}"
            )
        stripe = link.stripes[first.hello.stripe]
        link.handle_media(first)
        await _together(self._read_media(link, context), self._write_media(stripe, context), _closed(link))

    @staticmethod
    async def _read_media(link: Link, context: Any) -> None:  # noqa: ANN401
        read, handle = context.read, link.handle_media
        while (message := await read()) is not _EOF:
            handle(message)

    async def _write_media(self, stripe: Stripe, context: Any) -> None:  # noqa: ANN401
        await stripe.write(context.write, lambda: self._gather_us)

    def _forget_edge(self, link: Link) -> None:
        """Edges come and go: one that is not linked has no round trip."""
        if all(other.edge != link.edge for other in self._links.values()):
            with suppress(KeyError):  # it never answered a ping
                metrics.LINK_RTT.remove(link.edge)

    def _set_pace(self, but: Link | None = None) -> None:
        """Tells all links how long to gather, now that there are more or fewer; a new one learns it by its Welcome."""
        metrics.LINKS.set(len(self._links))
        pace = gather_us(len(self._links))
        if pace != self._gather_us:
            self._gather_us = pace
            for link in self._links.values():
                if link is not but:
                    link.control(pb.ControlResponse(pace=pb.Pace(gather_us=pace)), urgent=True)


async def _closed(link: Link) -> None:
    await link.closed.wait()


async def _refuse(context: Any, reason: str, code: grpc.StatusCode, message: str) -> None:  # noqa: ANN401
    metrics.REFUSED.labels(reason).inc()
    await context.abort(code, message)


async def _together(*parts: Coroutine[Any, Any, None]) -> None:
    """Runs until the first of the parts ends; an error of it is raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
