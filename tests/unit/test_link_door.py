"""Who gets a media link: the edge's real media plane and grpc clients against a worker's real server."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from antiphon.certificates import Certificates
from antiphon.cluster import Cluster
from antiphon.config import load_config
from antiphon.config_auth import MutualTls
from antiphon.edge.service import Edge
from antiphon.turns import HintedVoice
from antiphon.worker import metrics
from antiphon.worker.call import Hearing
from antiphon.worker.host import Host
from antiphon.worker.link import LinkServer
from tests.support.certificates import Authority, Files
from tests.support.link_client import LinkClient
from tests.support.plane import plane_alone
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from antiphon.cluster.embedded import EmbeddedValkey

OURS, THEIRS = Authority(), Authority()
OLD, NEW = "the-secret-of-before", "the-secret-of-today"


@asynccontextmanager
async def worker(tls: Files | None = None, *, secrets: tuple[str, ...] = ()) -> AsyncIterator[LinkServer]:
    host = Host({}, Hearing(HintedVoice()), capacity=1)
    certificates = Certificates(MutualTls.model_validate(tls.settings), "link_tls") if tls else None
    server = LinkServer("worker-a", host, certificates=certificates, secrets=secrets)
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.stop()


class Plane:
    """An edge's media plane that dials one worker."""

    def __init__(self, shown: Files | None = None, *, name: str = "", secret: str = "") -> None:
        self.media = plane_alone()
        if shown is not None:
            self.show(shown, name)
        if secret:
            self.media.set_link_secret(secret.encode())

    def show(self, shown: Files, name: str = "") -> None:
        parts = {part: Path(path).read_bytes() for part, path in shown.settings.items()}
        self.media.set_link_tls(**parts, server_name=name)

    def dial(self, server: LinkServer, worker_id: str = "worker-a") -> None:
        self.media.connect_worker(worker_id, f"127.0.0.1:{server.port}")

    def state(self, worker_id: str = "worker-a") -> tuple[bool, str]:
        found = self.media.workers()[worker_id]
        return bool(found["connected"]), str(found["error"] or "")


async def gets_in(plane: Plane, server: LinkServer, worker_id: str = "worker-a") -> str:
    """Dials once and closes the plane. Returns why it did not get in, empty where it did."""
    try:
        plane.dial(server, worker_id)
        await until(lambda: any(plane.state(worker_id)), what="the dial to end")
        return plane.state(worker_id)[1]
    finally:
        await asyncio.to_thread(plane.media.close)


async def test_a_link_with_mutual_tls_comes_up_between_certificates_of_one_authority(tmp_path: Path) -> None:
    async with worker(OURS.issue(tmp_path / "worker")) as server:
        plane = Plane(OURS.issue(tmp_path / "edge"))
        plane.dial(server)
        await until(lambda: plane.state()[0], what="the link")
        await until(lambda: plane.media.workers()["worker-a"]["rtt_ms"] is not None, what="a pong")
        await asyncio.to_thread(plane.media.close)


async def test_a_worker_with_mutual_tls_refuses_wrong_hands(tmp_path: Path) -> None:
    async with worker(OURS.issue(tmp_path / "worker")) as server:
        assert await gets_in(Plane(), server), "no TLS"
        foreign = THEIRS.issue(tmp_path / "foreign", believes=OURS)
        assert await gets_in(Plane(foreign), server), "another authority's"
        assert await gets_in(Plane(OURS.issue(tmp_path / "old", days=-1)), server), "expired"
        async with grpc.aio.secure_channel(
            f"127.0.0.1:{server.port}",
            grpc.ssl_channel_credentials((tmp_path / "worker" / "authority.pem").read_bytes()),
        ) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary("/antiphon.media.v1.MediaLinkService/Control", None, None)(b"", timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE, "no certificate"
        assert server.links == 0


async def test_an_edge_believes_only_the_worker_that_it_dials(tmp_path: Path) -> None:
    mine = OURS.issue(tmp_path / "mine")
    async with worker(THEIRS.issue(tmp_path / "foreign", believes=OURS)) as server:
        assert "invalid peer certificate" in await gets_in(Plane(mine), server)
    async with worker(OURS.issue(tmp_path / "old", days=-1)) as server:
        assert "expired" in await gets_in(Plane(mine), server)
    async with worker(OURS.issue(tmp_path / "named", name="worker.test")) as server:
        assert "not valid for name" in await gets_in(Plane(mine), server)
        assert await gets_in(Plane(mine, name="worker.test"), server) == ""
    async with worker() as server:
        assert await gets_in(Plane(mine), server), "no TLS"


async def test_what_is_read_anew_is_shown_by_the_next_dial(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    THEIRS.issue(tmp_path / "edge", believes=OURS)
    config = load_config(
        redis={"url": valkey.url},
        edge={"control_port": 0, "http_port": 0},
        link_tls=Files(tmp_path / "edge").settings,
        registration_secrets=(NEW,),
    )
    plane = Plane()
    async with worker(OURS.issue(tmp_path / "worker"), secrets=(OLD, NEW)) as server, Cluster(valkey.url) as cluster:
        edge = Edge(config, plane.media, cluster)
        try:
            plane.dial(server)
            await until(lambda: plane.state()[1] != "", what="a refusal")
            OURS.issue(tmp_path / "edge")
            assert edge._link_certificates is not None
            await edge._link_certificates.look()
            await until(lambda: plane.state()[0], what="the link")
        finally:
            edge.metrics.close()
            await asyncio.to_thread(plane.media.close)


async def test_a_certificate_that_the_media_plane_cannot_use_changes_nothing(tmp_path: Path) -> None:
    plane = Plane(OURS.issue(tmp_path / "edge"))
    with pytest.raises(ValueError, match=r"."):
        plane.media.set_link_tls(certificate=b"nonsense", key=b"", authority=b"", server_name="")
    async with worker(OURS.issue(tmp_path / "worker")) as server:
        assert await gets_in(plane, server) == ""


async def test_where_members_sign_an_edge_that_did_not_gets_no_link() -> None:
    before = metrics.REFUSED.labels("unsigned")._value.get()
    async with worker(secrets=(NEW, OLD)) as server:
        assert await gets_in(Plane(secret=NEW), server) == ""
        assert await gets_in(Plane(secret=OLD), server) == "", "a secret that is being rotated out"
        for wrong, dialled in ((Plane(), "worker-a"), (Plane(secret="another"), "worker-a"), (Plane(secret=NEW), "b")):
            assert "did not sign" in await gets_in(wrong, server, dialled)
    assert metrics.REFUSED.labels("unsigned")._value.get() >= before + 3


def seal(link: int, *, age_s: float = 0, edge: str = "edge-a", secret: str = NEW) -> str:
    key = hmac.digest(secret.encode(), b"antiphon link 1", hashlib.sha256)
    when = int(time.time() - age_s)
    return f"{when}." + hmac.digest(key, f"{edge} worker-a {link} {when}".encode(), hashlib.sha256).hex()


@pytest.mark.parametrize(
    ("shown", "right"),
    [
        (lambda: seal(7), True),
        (lambda: "", False),
        (lambda: "nonsense", False),
        (lambda: seal(8), False),
        (lambda: seal(7, age_s=300), False),
        (lambda: seal(7, age_s=-300), False),
        (lambda: seal(7, edge="edge-b"), False),
        (lambda: seal(7, secret=OLD), False),
        (lambda: seal(7)[:-1], False),
        (lambda: seal(7).upper().replace(".", ".A", 1), False),
    ],
)
async def test_a_signature_is_of_one_edge_one_link_and_one_minute(shown: Callable[[], str], right: bool) -> None:  # noqa: FBT001
    async with worker(secrets=(NEW,)) as server:
        client = LinkClient(f"127.0.0.1:{server.port}", edge="edge-a")
        client.link = 7
        client.metadata = (("antiphon-link-seal", shown()),)
        if right:
            async with client:
                assert client.welcome.worker == "worker-a"
        else:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await client.__aenter__()
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            await client.drop()
