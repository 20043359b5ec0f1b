"""The edge as a process: builds its parts, says that it is here, and takes leave of its callers when told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from antiphon import telemetry
from antiphon.addresses import host_port
from antiphon.certificates import Certificates, Pem
from antiphon.cluster import Cluster, Draining, EdgeRecord, serve_until_drained
from antiphon.edge._media import MediaPlane
from antiphon.edge.control import EdgeControl
from antiphon.edge.events import EventPump
from antiphon.edge.leaving import Leaving
from antiphon.edge.links import LinkKeeper
from antiphon.edge.metrics import EdgeMetrics
from antiphon.edge.probes import Probes
from antiphon.edge.releases import Release, Releases
from antiphon.edge.round_trips import RoundTripReports
from antiphon.edge.sessions import SessionBook
from antiphon.edge.takeovers import Takeovers
from antiphon.errors import ConfigError
from antiphon.garbage import set_aside
from antiphon.grpc_health import Health
from antiphon.grpc_reflection import tell_of
from antiphon.kubernetes import DeletionCost
from antiphon.spans import configured
from antiphon.wire.control.v1 import edge_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiphon.config import Config
    from antiphon.edge.sessions import LiveSession
    from antiphon.spans import Tracing

log = structlog.get_logger(__name__)

_LAST_RELEASES = 1.5
"""Seconds that a stopping edge waits for Redis to hear of its last sessions."""


async def run(config: Config) -> None:
    """Serves until cancelled; then drains, for `edge.drain_s` at most, and callers that are left get a BYE.

    Raises ConfigError and OSError when it cannot start.
    """
    plane = build_media_plane(config)
    try:
        async with Cluster.of(config) as cluster:
            edge = Edge(config, plane, cluster)
            try:
                await edge.start()
                set_aside()
                await serve_until_drained(
                    edge.serve(),
                    edge.draining,
                    seconds=config.edge.drain_s,
                    sessions=lambda: len(edge.book),
                    empty=edge.book.wait_empty,
                    told=cluster.hurry,
                )
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
            stun_probe=edge.stun_probe,
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

    def __init__(self, config: Config, plane: MediaPlane, cluster: Cluster, tracing: Tracing | None = None) -> None:
        """`tracing` is as the environment configures it where it is not given; the edge closes it."""
        self._config = config
        self._plane = plane
        self._cluster = cluster
        self.book = SessionBook()
        self.links = LinkKeeper(plane)
        self.releases = Releases(cluster)
        self.round_trips = RoundTripReports(plane, self.book, cluster.round_trips.learn)
        self.probes = Probes(config.edge)
        self.metrics = EdgeMetrics()
        self.metrics.watch(plane, self.book, self.releases, config.edge.capacity)
        self.takeovers = Takeovers(plane, self.book, self.metrics, lambda: cluster.known, config.edge.id)
        self.leaving = Leaving(plane, self.book, lambda: self.drains, lambda: cluster.known, config.edge.id)
        self.deletion_cost = DeletionCost(config.kubernetes, lambda: len(self.book))
        self.draining = Draining(self._send_away)
        self._stopping = False
        self._going: asyncio.Task[None] | None = None
        self.tracing = tracing or configured("edge", config.edge.id)
        self.control = EdgeControl(plane, self.links, self.book, self.metrics, lambda: self.drains, self.tracing)
        self._events = EventPump(plane, self)
        self._certificates = Certificates(config.control_tls) if config.control_tls.configured else None
        self._link_certificates = self._guard_links()
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])  # a taken port must be an error
        self._control_port = 0

    async def start(self) -> None:
        """Listens for control and events. Raises ConfigError when the control port is taken."""
        edge = self._config.edge
        edge_pb2_grpc.add_EdgeControlServiceServicer_to_server(self.control, self._server)
        Health("antiphon.control.v1.EdgeControlService", self.ready).join(self._server)
        tell_of("antiphon.control.v1.EdgeControlService", self._server)
        try:
            self._control_port = self._listen(f"{edge.control_host}:{edge.control_port}")
        except RuntimeError as error:
            msg = (
                f"cannot serve control on {edge.control_host}:{edge.control_port}, which is taken, or no address of "
                "this machine: stop what listens there, or set edge.control_host and edge.control_port"
            )
            raise ConfigError(msg) from error
        await self._server.start()
        self._events.start()
        log.info("edge started", edge=edge.id, region=self._config.region.name, media_port=self._plane.port)

    def _listen(self, address: str) -> int:
        if self._certificates is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, self._certificates.for_server())

    def _guard_links(self) -> Certificates | None:
        """Before the first link is dialled."""
        if keys := self._config.registration_keys:
            self._plane.set_link_secret(keys[0].encode())
        tls = self._config.link_tls
        return Certificates(tls, "link_tls", use=self._show_workers) if tls.configured else None

    def _show_workers(self, pem: Pem) -> None:
        self._plane.set_link_tls(
            certificate=pem.certificate,
            key=pem.key,
            authority=pem.authority,
            server_name=self._config.link_tls.server_name,
        )

    async def serve(self) -> None:
        """Runs until cancelled."""
        edge = self._config.edge
        monitoring = telemetry.serve(edge.http_host, edge.http_port, ready=self.takes_packets)
        async with self.probes, monitoring, asyncio.TaskGroup() as tasks:
            tasks.create_task(
                self._cluster.keep(self.record, self.book.epochs, stale=self._let_go, drain=self.draining.hear),
                name="registration",
            )
            tasks.create_task(self._follow_membership(), name="membership")
            tasks.create_task(self.releases.run(), name="releases")
            tasks.create_task(self.takeovers.run(self._cluster), name="takeovers")
            tasks.create_task(self.leaving.run(), name="leaving")
            for certificates in (self._certificates, self._link_certificates):
                if certificates is not None:
                    tasks.create_task(certificates.run(), name="certificates")
            tasks.create_task(self.round_trips.run(), name="round trips")
            tasks.create_task(self.deletion_cost.run(), name="deletion cost")

    @property
    def drains(self) -> bool:
        """Whether no new sessions are taken."""
        return self._stopping or self.draining.active

    def _send_away(self) -> None:
        """The time of those that are left is over."""
        log.info("sessions are ended: the deadline of the drain has come", sessions=len(self.book))
        self._going = asyncio.create_task(asyncio.to_thread(self._end_all), name="end all")

    def _end_all(self) -> None:
        """Waits where a shard's mailbox is full."""
        for session in self.book:
            with contextlib.suppress(PermissionError):  # a newer owner has it and will end it
                self._plane.close_session(session.id, epoch=session.epoch, reason="drain")

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
        self._stopping = True
        self.draining.close()
        await self._server.stop(grace=0.2)
        self._events.stop()
        await asyncio.to_thread(self._end_all)
        await asyncio.to_thread(self._plane.close)
        self._events.drain()
        for session in self.book:  # the plane closed them without a word
            self.session_closed(session.id, {"reason": "drain"})
        await self.releases.finish(_LAST_RELEASES)
        self.metrics.close()
        await asyncio.to_thread(self.tracing.close)  # it sends what waits
        log.info("edge stopped", edge=self._config.edge.id)

    def takes_packets(self) -> bool:
        """What /readyz says, also while it drains.

        A balancer that turned away the packets of calls that are left would end them, where no other edge of the region
        is there to hand them over.
        """
        return self._cluster.registered

    def ready(self) -> bool:
        """Whether callers may be sent here: signaling can see this edge, and it is not stopping."""
        return self._cluster.registered and not self.drains

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
            draining=self.drains,
            drain=self.draining.order,
            probe_url=self.probes.url,
            probe_stun=self._stun(),
            links=self.links.round_trips(),
        )

    def _stun(self) -> str:
        """Where clients reach a probe over UDP: the media port where it answers, since its way is what matters."""
        edge = self._config.edge
        media = [host_port(host, port) for transport, host, port in self._plane.candidates if transport == "udp"]
        answers = edge.stun_probe != "off" and not edge.probe_stun
        return media[0] if answers and media else self.probes.stun

    def session_connected(self, session: str, details: Mapping[str, Any]) -> None:
        self.control.connecting.connected(session, details)
        log.info("session connected", session=session, **self._named(self.book.get(session)), **_plain(details))

    def session_moved(self, session: str, details: Mapping[str, Any]) -> None:
        gap_s = float(details["gap_us"]) / 1e6
        self.metrics.moved(gap_s)
        log.info("session moved", session=session, remote=details["remote"], gap_ms=round(gap_s * 1000))

    def session_orphaned(self, session: str, details: Mapping[str, Any]) -> None:
        log.warning("session lost its worker", session=session, reason=details["reason"])
        self.takeovers.orphaned(session, str(details["reason"]))

    def session_taken(self, session: str, details: Mapping[str, Any]) -> None:
        gap_s, frames = float(details["gap_us"]) / 1e6, int(details["frames"])
        worker = self.takeovers.taken(session, int(details["epoch"]), int(details["number"]), gap_s)
        log.info("session taken over", session=session, worker=worker, gap_ms=round(gap_s * 1000), frames=frames)

    def session_closed(self, session: str, details: Mapping[str, Any]) -> None:
        known = self.book.closed(session)
        self.takeovers.closed(session)
        reason = str(details.get("reason", "error"))
        setup_us: dict[str, int] = dict(details.get("setup_us") or {})
        quality: dict[str, float] = dict(details.get("quality") or {})
        self.metrics.closed(reason, setup_us, quality)
        self.control.connecting.closed(session, reason)
        log.info("session closed", session=session, reason=reason, **self._named(known))
        if known is None:
            log.warning("closed session was not in the book", session=session)
            return
        self.round_trips.ended(session, quality)
        outcome = {"reason": reason, "setup_us": setup_us, "quality": quality}
        self.releases.add(Release(session, known.epoch, outcome, lost=reason == "worker", edge=self._config.edge.id))

    def _named(self, session: LiveSession | None) -> dict[str, str]:
        return self.tracing.named(session.trace) if session is not None else {}

    def link_up(self, worker: str, details: Mapping[str, Any]) -> None:
        del details
        self.links.link_up(worker)

    def link_down(self, worker: str, details: Mapping[str, Any]) -> None:
        self.links.link_down(worker, str(details.get("reason", "")))


def _plain(details: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if isinstance(value, str | int | float)}
