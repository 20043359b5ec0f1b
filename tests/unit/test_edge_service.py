"""The edge's Python, around a media plane that does as the test says: control, registration, releases, metrics."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import REGISTRY, generate_latest

from antiphon.cluster import Cluster
from antiphon.config import load_config
from antiphon.edge.metrics import EdgeMetrics
from antiphon.edge.service import Edge
from antiphon.edge.sessions import LiveSession
from antiphon.errors import ConfigError
from antiphon.wire.control.v1 import edge_pb2, edge_pb2_grpc
from tests.support import members
from tests.support.plane import QUALITY, FakePlane
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.cluster.embedded import EmbeddedValkey

SESSION = "ses_virginia_" + "a" * 20


class Running:
    """An edge that serves, and a client of its control."""

    def __init__(self, edge: Edge, plane: FakePlane, cluster: Cluster, control: Any) -> None:
        self.edge = edge
        self.plane = plane
        self.cluster = cluster
        self.control = control

    async def open(self, **changes: Any) -> edge_pb2.OpenSessionResponse:
        request: dict[str, Any] = {
            "session": SESSION,
            "epoch": 5,
            "offer": "v=0",
            "agent": "echo",
            "worker": "worker",
            "worker_address": "127.0.0.1:1",
            "metadata": '{"name": "Ada"}',
            "caller": "192.0.2.7",
        }
        response: edge_pb2.OpenSessionResponse = await self.control.OpenSession(
            edge_pb2.OpenSessionRequest(**{**request, **changes}), timeout=30
        )
        return response


@pytest.fixture
async def running(valkey: EmbeddedValkey) -> AsyncIterator[Running]:
    config = load_config(
        redis={"url": valkey.url},
        region={"name": "virginia", "latitude": 38.95, "longitude": -77.45},
        edge={"id": "edge-test", "control_port": 0, "http_port": 0, "probe_port": 0},
    )
    plane = FakePlane()
    async with Cluster(valkey.url) as cluster:
        edge = Edge(config, cast("Any", plane), cluster)
        await edge.start()
        serving = asyncio.create_task(edge.serve())
        try:
            await until(edge.ready, what="the edge's registration")
            async with grpc.aio.insecure_channel(edge.record().control) as channel:
                yield Running(edge, plane, cluster, edge_pb2_grpc.EdgeControlServiceStub(channel))
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            await edge.stop()


async def refusal(call: Any) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    status = rpc_status.from_call(cast("Any", raised.value))
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "antiphon"
    return raised.value.code(), info, status.message


async def test_the_edge_is_in_the_cluster_with_its_addresses(running: Running) -> None:
    (record,) = await running.cluster.edges()
    assert (record.id, record.region, record.latitude) == ("edge-test", "virginia", 38.95)
    assert record.media == ("127.0.0.1:4000", "[::1]:4000")
    assert record.tcp == ("127.0.0.1:4000",)
    assert record.probe_stun == "127.0.0.1:4000", "the media port answers"
    assert record.steering == "", "it stands alone"
    assert record.control.startswith("127.0.0.1:")


async def test_control_tells_of_its_health_by_grpc(running: Running) -> None:
    async with grpc.aio.insecure_channel(running.edge.record().control) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", None, None)
        assert await check(b"", timeout=20) == b"\x08\x01", "serving"
        await running.cluster.drain("edge", "edge-test", 60.0)
        await until(lambda: not running.edge.ready(), what="the order to drain")
        assert running.edge.takes_packets(), "those of the calls that it has"
        assert await check(b"", timeout=20) == b"\x08\x02", "not serving"


async def test_an_edge_learns_where_its_neighbours_take_packets(running: Running) -> None:
    neighbour = members.edge("edge-b", steering="127.0.0.1:4013")
    async with members.kept(running.cluster, neighbour, members.edge("edge-c")):
        await until(lambda: running.plane.edges == {"edge-b": "127.0.0.1:4013"}, what="the neighbour")
    await until(lambda: running.plane.edges == {}, what="the neighbour's leave")


async def test_a_caller_that_moves_is_measured(running: Running) -> None:
    await running.open()
    running.plane.happen("session_moved", SESSION, epoch=5, remote="192.0.2.9:5", gap_us=1_234_000)
    await until(lambda: "antiphon_edge_path_gap_seconds_count 1.0" in generate_latest(REGISTRY).decode())
    assert 'antiphon_edge_path_gap_seconds_bucket{le="2.0"} 1.0' in generate_latest(REGISTRY).decode()


async def test_an_offer_is_answered_once_the_worker_s_link_is_up(running: Running) -> None:
    response = await running.open(data_channel=0)
    assert (response.answer, response.ufrag) == ("v=0 answer", "ufrag")
    (opened,) = running.plane.opened
    assert opened["data_channel"] == 0
    assert opened["metadata"] == '{"name": "Ada"}'
    assert running.plane.targets == {"worker": "127.0.0.1:1"}


async def test_a_bad_offer_is_refused_with_its_line(running: Running) -> None:
    code, info, message = await refusal(running.open(offer="nonsense"))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert (info.reason, info.metadata["line"], message) == ("bad_offer", "1", "expected v=0")


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (BlockingIOError("no room for another session"), grpc.StatusCode.RESOURCE_EXHAUSTED, "no_room"),
        (PermissionError("a newer owner has it"), grpc.StatusCode.ABORTED, "stale_epoch"),
        (ConnectionError("the link went down"), grpc.StatusCode.UNAVAILABLE, "link_down"),
        (RuntimeError("a bug with secrets in its text"), grpc.StatusCode.INTERNAL, "internal"),
    ],
)
async def test_refusals_of_the_media_plane_have_a_code_and_a_reason(
    running: Running, error: Exception, code: grpc.StatusCode, reason: str
) -> None:
    running.plane.refuse = error
    found, info, message = await refusal(running.open())
    assert (found, info.reason) == (code, reason)
    assert "secrets" not in message


async def test_metadata_must_be_an_object(running: Running) -> None:
    code, info, _ = await refusal(running.open(metadata="[1, 2]"))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "bad_request")


async def test_a_stopping_edge_takes_no_sessions(running: Running) -> None:
    running.edge.draining.stop(60, 0)
    code, info, _ = await refusal(running.open())
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "draining")
    assert not running.edge.ready()


async def test_a_draining_edge_ends_what_is_left_at_the_deadline_and_serves_again_when_told(running: Running) -> None:
    await running.open()
    await running.cluster.drain("edge", "edge-test", 0)
    await until(lambda: not running.plane.live, what="the session's end")
    await until(lambda: not running.edge.book.epochs())
    assert not running.edge.ready()
    await running.cluster.undrain("edge", "edge-test")
    await until(running.edge.ready, what="an edge that takes sessions")
    await running.open(session=SESSION[:-1] + "b")


async def test_a_session_can_be_looked_at_restarted_and_closed(running: Running) -> None:
    await running.open()
    told = await running.control.GetSession(edge_pb2.GetSessionRequest(session=SESSION))
    assert (told.state, told.quality["rtt_ms"], told.remote) == ("connected", 12.5, "192.0.2.7:4444")
    restart = edge_pb2.RestartIceRequest(session=SESSION, epoch=6, sdpfrag="a=ice-ufrag:x")
    restarted = await running.control.RestartIce(restart)
    assert restarted.ufrag == "ufrag2"
    assert running.edge.book.epochs() == {SESSION: 6}
    await running.control.CloseSession(edge_pb2.CloseSessionRequest(session=SESSION, epoch=6, reason="api"))
    await until(lambda: not running.edge.book.epochs())


@pytest.mark.parametrize("method", ["GetSession", "CloseSession", "RestartIce"])
async def test_a_session_that_is_not_here_is_not_found(running: Running, method: str) -> None:
    request = getattr(edge_pb2, f"{method}Request")(session="ses_other")
    code, info, message = await refusal(getattr(running.control, method)(request))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "unknown_session")
    assert "ses_other" in message


async def test_an_older_owner_cannot_close_a_session(running: Running) -> None:
    await running.open()
    request = edge_pb2.CloseSessionRequest(session=SESSION, epoch=4)
    code, info, _ = await refusal(running.control.CloseSession(request))
    assert (code, info.reason) == (grpc.StatusCode.ABORTED, "stale_epoch")


async def test_a_session_that_ended_here_does_not_begin_again_at_its_epoch(running: Running) -> None:
    await running.open()
    running.plane.happen("session_closed", SESSION, reason="bye")
    await until(lambda: not len(running.edge.book), what="the session's end")
    code, info, _ = await refusal(running.open())
    assert (code, info.reason) == (grpc.StatusCode.ABORTED, "stale_epoch")
    await running.open(epoch=6)


async def test_the_edge_tells_where_it_is_probed_and_how_far_its_workers_are(running: Running) -> None:
    await running.open()
    record = running.edge.record()
    assert record.links == {"worker": 1.5}
    async with httpx.AsyncClient(trust_env=False) as http:
        reply = await http.get(record.probe_url)
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (204, "*")

    async def heard() -> bool:
        (edge,) = await running.cluster.edges()
        return (edge.links, edge.probe_url) == ({"worker": 1.5}, record.probe_url)

    await until(heard)


async def test_live_and_ended_calls_teach_the_cluster_their_round_trip(running: Running) -> None:
    async with members.kept(running.cluster, members.worker("worker")):
        claim = await running.cluster.claim(
            SESSION, agent="echo", edges=["edge-test"], workers=["worker"], networks=["81.2.69.0/24"]
        )
        await running.open(epoch=claim.epoch)
        await running.edge.round_trips.report(100.0)
        assert await running.cluster.round_trips.learned(["81.2.69.0/24"]) == {}, "the call has only begun"
        await running.edge.round_trips.report(109.0)
        await running.edge.round_trips.report(110.0)
        found = (await running.cluster.round_trips.learned(["81.2.69.0/24"]))["virginia"]
        assert (found.ms, round(found.weight)) == (12.5, 1)
        running.plane.close_session(SESSION, epoch=claim.epoch, reason="bye")
        await until(lambda: not running.edge.book.epochs())
        await running.edge.round_trips.report(111.0)
        found = (await running.cluster.round_trips.learned(["81.2.69.0/24"]))["virginia"]
        assert round(found.weight) == 2


async def test_a_closed_session_is_released_with_its_outcome(running: Running) -> None:
    edge = (await running.cluster.edges())[0]
    heard: list[tuple[str, int, Any]] = []

    class Remembered:
        def __init__(self, session: str) -> None:
            self._session = session

        async def release(self, epoch: int, outcome: Any, *, lost: bool, edge: str) -> None:
            assert (lost, edge) == (False, "edge-test")
            heard.append((self._session, epoch, outcome))

    running.edge.releases._cluster = cast("Any", type("Redis", (), {"session": Remembered}))
    await running.open()
    running.plane.close_session(SESSION, epoch=5, reason="consent")
    await until(lambda: heard)
    assert heard == [
        (SESSION, 5, {"reason": "consent", "setup_us": {"dtls": 120_000}, "quality": QUALITY}),
    ]
    assert edge.sessions == 0


async def test_metrics_show_counters_sessions_links_and_set_up(running: Running) -> None:
    await running.open()
    page = generate_latest(REGISTRY).decode()
    for line in (
        "antiphon_edge_packets_in_total 17.0",
        "antiphon_edge_dropped_replay_total 1.0",
        "antiphon_edge_sessions 1.0",
        'antiphon_edge_link_up{worker="worker"} 1.0',
        'antiphon_edge_link_rtt_seconds{worker="worker"} 0.0015',
        'antiphon_edge_control_requests_total{method="open_session",outcome="ok"} 1.0',
    ):
        assert line in page
    running.plane.close_session(SESSION, epoch=5, reason="bye")
    await until(lambda: not running.edge.book.epochs())
    page = generate_latest(REGISTRY).decode()
    assert 'antiphon_edge_sessions_closed_total{reason="bye"} 1.0' in page
    assert 'antiphon_edge_setup_seconds_bucket{le="0.2",step="dtls"} 1.0' in page
    assert 'antiphon_edge_session_counts_total{count="lost"} 2.0' in page
    assert "rtt_ms" not in page, "a measurement is no count"
    assert "drift_ppm" not in page


async def test_stopping_closes_the_plane_and_leaves_the_cluster(valkey: EmbeddedValkey) -> None:
    config = load_config(redis={"url": valkey.url}, edge={"id": "edge-brief", "control_port": 0, "http_port": 0})
    plane = FakePlane()
    async with Cluster(valkey.url) as cluster:
        edge = Edge(config, cast("Any", plane), cluster)
        await edge.start()
        serving = asyncio.create_task(edge.serve())
        await until(edge.ready)
        edge.book.opened(LiveSession(SESSION, 5, "echo", "worker"))
        plane.live[SESSION] = 5
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        edge.metrics.close = lambda: None  # type: ignore[method-assign]
        await edge.stop()
        page = generate_latest(REGISTRY).decode()
        EdgeMetrics.close(edge.metrics)
        assert plane.closed
        assert edge.releases.done == 1
        assert 'antiphon_edge_sessions_closed_total{reason="drain"} 1.0' in page
        assert await cluster.edges() == []


async def test_a_taken_control_port_is_said_in_words(running: Running, valkey: EmbeddedValkey) -> None:
    port = int(running.edge.record().control.rpartition(":")[2])
    running.edge.metrics.close()
    config = load_config(redis={"url": valkey.url}, edge={"id": "second", "control_port": port, "http_port": 0})
    second = Edge(config, cast("Any", FakePlane()), running.cluster)
    with pytest.raises(ConfigError, match=f"cannot serve control on 127.0.0.1:{port}"):
        await second.start()
    await second.stop()


async def test_an_event_that_fails_holds_up_none_behind_it(running: Running) -> None:
    await running.open()
    running.plane.happen("session_closed", "ses_unreadable", reason="bye", setup_us=3)
    running.plane.happen("session_closed", SESSION, reason="bye")
    await until(lambda: len(running.edge.book) == 0)


async def test_many_sessions_are_looked_at_in_one_request(running: Running) -> None:
    await running.open()
    request = edge_pb2.GetSessionsRequest(sessions=[SESSION, "ses_virginia_gone"])
    told = await running.control.GetSessions(request, timeout=30)
    assert list(told.sessions) == [SESSION]
    assert told.sessions[SESSION].quality["rtt_ms"] == 12.5


async def test_a_session_s_project_and_owner_are_told_as_they_were_said(running: Running) -> None:
    await running.open(project="acme", owner="ann")
    running.edge.book.moved_to_epoch(SESSION, 6)
    told = await running.control.GetSession(edge_pb2.GetSessionRequest(session=SESSION), timeout=30)
    assert (told.project, told.owner) == ("acme", "ann")
