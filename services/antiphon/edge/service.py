"""The edge as a process: builds its parts, says that it is here, and takes leave of its callers when told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from antiphon import telemetry
from antiphon.addresses import host_port
from antiphon.cluster import Cluster, EdgeRecord
from antiphon.edge._media import MediaPlane
from antiphon.edge.control import EdgeControl
from antiphon.edge.events import EventPump
from antiphon.edge.links import LinkKeeper
from antiphon.edge.metrics import EdgeMetrics
from antiphon.edge.releases import Release, Releases
from antiphon.edge.sessions import SessionBook
from antiphon.errors import ConfigError
from antiphon.wire.control.v1 import edge_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiphon.config import Config

log = structlog.get_logger(__name__)

_LAST_RELEASES = 1.5
"""Seconds that a stopping edge waits for Redis to hear of its last sessions."""


async def run(config: Config) -> None:
    """Serves until cancelled; then callers get a BYE. Raises ConfigError and OSError when it cannot start."""
    plane = build_media_plane(config)
    try:
        async with Cluster(config.redis.url.get_secret_value()) as cluster:
            edge = Edge(config, plane, cluster)
            try:
                await edge.start()
                await edge.serve()
            finally:
                await edge.stop()
    finally:
        await asyncio.to_thread(plane.close)


def build_media_plane(config: Config) -> MediaPlane:
    """Binds the ports and starts the shards."""
    edge = config.edge
    try:
        return MediaPlane(
            edge=edge.id,
            region=config.region.name,
            secret=_seal_key(config.cluster_secret.get_secret_value()),
            hosts=list(edge.hosts),
            port=edge.port,
            tcp_port=_tcp_port(config),
            advertise=[(found.transport, found.address, found.port) for found in edge.advertised],
            steering=None if edge.steering_port is None else (edge.steering_host, edge.steering_port),
            shards=edge.shards,
            capacity=edge.capacity,
        )
    except OSError as error:
        raise ConfigError(
            f"{error.strerror or error}; stop what listens there, or set edge.host, edge.port and edge.tcp_port"
        ) from error
    except ValueError as error:
        raise ConfigError(f"edge.{error}") from error


def _tcp_port(config: Config) -> int | None:
    edge = config.edge
    if not edge.tcp:
        return None
    return edge.port if edge.tcp_port is None else edge.tcp_port


def _seal_key(secret: str) -> bytes:
    try:
        key = bytes.fromhex(secret)
    except ValueError:
        key = b""
    if len(key) != 16:
        msg = "cluster_secret must be 32 hexadecimal digits, the same on all edges"
        raise ConfigError(msg)
    return key


class Edge:
    """All parts of one edge, wired. It listens to the media plane's events."""

    def __init__(self, config: Config, plane: MediaPlane, cluster: Cluster) -> None:
        self._config = config
        self._plane = plane
        self._cluster = cluster
        self.book = SessionBook()
        self.links = LinkKeeper(plane)
        self.releases = Releases(cluster)
        self.metrics = EdgeMetrics()
        self.metrics.watch(plane, self.book, self.releases)
        self.control = EdgeControl(plane, self.links, self.book, self.metrics)
        self._events = EventPump(plane, self)
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])  # a taken port must be an error
        self._control_port = 0

    async def start(self) -> None:
        """Listens for control and events. Raises ConfigError when the control port is taken."""
        edge = self._config.edge
        edge_pb2_grpc.add_EdgeControlServiceServicer_to_server(self.control, self._server)
        try:
            self._control_port = self._server.add_insecure_port(f"{edge.control_host}:{edge.control_port}")
        except RuntimeError as error:
            msg = (
                f"cannot serve control on {edge.control_host}:{edge.control_port}, which is taken, or no address of "
                "this machine: stop what listens there, or set edge.control_host and edge.control_port"
            )
            raise ConfigError(msg) from error
        await self._server.start()
        self._events.start()
        log.info("edge started", edge=edge.id, region=self._config.region.name, media_port=self._plane.port)

    async def serve(self) -> None:
        """Runs until cancelled."""
        edge = self._config.edge
        async with telemetry.serve(edge.http_host, edge.http_port, ready=self.ready), asyncio.TaskGroup() as tasks:
            tasks.create_task(
                self._cluster.keep(self.record, self.book.epochs, stale=self._let_go), name="registration"
            )
            tasks.create_task(self._follow_membership(), name="membership")
            tasks.create_task(self.releases.run(), name="releases")

    def _let_go(self, stale: Sequence[str]) -> None:
        """Closes sessions that a newer owner has, or that were ended while this edge could not be told."""
        for session_id in stale:
            known = self.book.get(session_id)
            if known is not None:
                self._plane.close_session(session_id, epoch=known.epoch, reason="moved")

    async def _follow_membership(self) -> None:
        async for membership in self._cluster.watch():
            self.links.apply({worker.id: worker.link for worker in membership.workers})
            self._steer({edge.id: edge.steering for edge in membership.edges if edge.steering})

    def _steer(self, edges: dict[str, str]) -> None:
        """Tells the media plane where other edges take packets. It believes this until it hears otherwise."""
        for edge in self._plane.set_edges(edges):
            log.warning("cannot steer to an edge: its address makes no sense", edge=edge, steering=edges[edge])

    async def stop(self) -> None:
        """Refuses new sessions, says BYE to live ones, and tells Redis."""
        self.control.draining = True
        await self._server.stop(grace=0.2)
        self._events.stop()
        for session in self.book:
            with contextlib.suppress(PermissionError):  # a newer owner has it and will end it
                self._plane.close_session(session.id, epoch=session.epoch, reason="drain")
        await asyncio.to_thread(self._plane.close)
        self._events.drain()
        for session in self.book:  # the plane closed them without a word
            self.session_closed(session.id, {"reason": "drain"})
        await self.releases.finish(_LAST_RELEASES)
        self.metrics.close()
        log.info("edge stopped", edge=self._config.edge.id)

    def ready(self) -> bool:
        """Whether callers may be sent here: signaling can see this edge, and it is not stopping."""
        return self._cluster.registered and not self.control.draining

    def record(self) -> EdgeRecord:
        """Tells the cluster what this edge is now."""
        edge, region = self._config.edge, self._config.region
        candidates = self._plane.candidates
        steering = self._plane.steering_port
        return EdgeRecord(
            id=edge.id,
            region=region.name,
            latitude=region.latitude,
            longitude=region.longitude,
            control=edge.control_advertise or f"{edge.control_host}:{self._control_port}",
            media=tuple(host_port(host, port) for transport, host, port in candidates if transport == "udp"),
            tcp=tuple(host_port(host, port) for transport, host, port in candidates if transport == "tcp"),
            steering="" if steering is None else edge.steering_advertise or host_port(edge.steering_host, steering),
            capacity=edge.capacity,
            sessions=len(self.book),
            draining=self.control.draining,
        )

    def session_connected(self, session: str, details: Mapping[str, Any]) -> None:
        log.info("session connected", session=session, **_plain(details))

    def session_moved(self, session: str, details: Mapping[str, Any]) -> None:
        gap_s = float(details["gap_us"]) / 1e6
        self.metrics.moved(gap_s)
        log.info("session moved", session=session, remote=details["remote"], gap_ms=round(gap_s * 1000))

    def session_closed(self, session: str, details: Mapping[str, Any]) -> None:
        known = self.book.closed(session)
        reason = str(details.get("reason", "error"))
        setup_us: dict[str, int] = dict(details.get("setup_us") or {})
        quality: dict[str, float] = dict(details.get("quality") or {})
        self.metrics.closed(reason, setup_us, quality)
        log.info("session closed", session=session, reason=reason)
        if known is None:
            log.warning("closed session was not in the book", session=session)
            return
        outcome = {"reason": reason, "setup_us": setup_us, "quality": quality}
        self.releases.add(Release(session, known.epoch, outcome))

    def link_up(self, worker: str, details: Mapping[str, Any]) -> None:
        del details
        self.links.link_up(worker)

    def link_down(self, worker: str, details: Mapping[str, Any]) -> None:
        self.links.link_down(worker, str(details.get("reason", "")))


def _plain(details: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if isinstance(value, str | int | float)}
