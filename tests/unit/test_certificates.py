"""Mutual TLS: who gets into an edge's control, over real gRPC, how certificates change, and where they must be."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from antiphon.certificates import Certificates
from antiphon.cluster import Cluster
from antiphon.config import load_config
from antiphon.config_auth import MutualTls
from antiphon.edge.service import Edge
from antiphon.errors import ConfigError
from antiphon.signaling.edges import EdgeRefusedError, Edges
from tests.support.certificates import Authority, Files
from tests.support.plane import FakePlane
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from antiphon.cluster.embedded import EmbeddedValkey

OURS, THEIRS = Authority(), Authority()


@asynccontextmanager
async def edge_with(valkey: EmbeddedValkey, tls: Files | None) -> AsyncIterator[tuple[str, Edge]]:
    """An edge's address of control, and the edge."""
    config = load_config(
        redis={"url": valkey.url},
        edge={"control_port": 0, "http_port": 0},
        control_tls=tls.settings if tls else {},
    )
    async with Cluster(valkey.url) as cluster:
        edge = Edge(config, cast("Any", FakePlane()), cluster)
        await edge.start()
        serving = asyncio.create_task(edge.serve())
        try:
            await until(edge.ready, what="the edge's registration")
            yield edge.record().control, edge
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            await edge.stop()


def shown(files: Files, **settings: str) -> Certificates:
    return Certificates(MutualTls.model_validate({**files.settings, **settings}))


async def reaches(edges: Edges, address: str) -> bool:
    try:
        return await edges.rooms(address, []) == []
    except EdgeRefusedError as error:
        return not error.unreachable


async def once(certificates: Certificates | None, address: str) -> bool:
    edges = Edges(certificates)
    try:
        return await reaches(edges, address)
    finally:
        await edges.close()


async def test_only_who_shows_a_certificate_of_the_authority_gets_in(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with edge_with(valkey, OURS.issue(tmp_path / "edge")) as (address, _):
        assert await once(shown(OURS.issue(tmp_path / "good")), address)
        assert not await once(None, address), "no TLS"
        assert not await once(shown(THEIRS.issue(tmp_path / "foreign", believes=OURS)), address), "another authority's"
        assert not await once(shown(OURS.issue(tmp_path / "old", days=-1)), address), "expired"


async def test_signaling_believes_only_the_edge_that_it_dials(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    mine = OURS.issue(tmp_path / "mine")
    async with edge_with(valkey, THEIRS.issue(tmp_path / "foreign", believes=OURS)) as (address, _):
        assert not await once(shown(mine), address), "another authority's"
    async with edge_with(valkey, OURS.issue(tmp_path / "named", name="edge.test")) as (address, _):
        assert not await once(shown(mine), address), "the certificate has another name than the address"
        assert await once(shown(mine, server_name="edge.test"), address)
        assert not await once(shown(mine, server_name="other.test"), address)
    async with edge_with(valkey, None) as (address, _):
        assert not await once(shown(mine), address), "no TLS"
        assert await once(None, address)


async def test_certificates_of_a_new_authority_are_taken_without_a_restart(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    mine = shown(OURS.issue(tmp_path / "mine"))
    edges = Edges(mine)
    async with edge_with(valkey, OURS.issue(tmp_path / "edge")) as (address, edge):
        assert edge._certificates is not None
        assert await reaches(edges, address)
        THEIRS.issue(tmp_path / "edge")
        await edge._certificates.look()
        assert await reaches(edges, address), "the connection that stands is not cut"
        assert not await once(mine, address)
        THEIRS.issue(tmp_path / "mine")
        await mine.look()
        assert await reaches(edges, address)
        assert await once(mine, address)
    await edges.close()


async def test_files_that_cannot_be_used_anew_change_nothing(tmp_path: Path) -> None:
    files = OURS.issue(tmp_path / "mine")
    mine = shown(files)
    before = mine.current
    for name in ("certificate", "key", "authority"):
        path = tmp_path / "mine" / f"{name}.pem"
        text = path.read_bytes()
        path.write_text("nonsense")
        with pytest.raises(ConfigError):
            await mine.look()
        path.unlink()
        with pytest.raises(ConfigError, match=f"{name}: .* cannot be read"):
            await mine.look()
        path.write_bytes(text)
    await mine.look()
    assert mine.current is before


async def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    files = OURS.issue(tmp_path / "mine")
    other = OURS.issue(tmp_path / "other")
    (files.folder / "key.pem").write_bytes((other.folder / "key.pem").read_bytes())
    with pytest.raises(ConfigError, match="the key is not the certificate's"):
        shown(files)
    assert "PRIVATE" not in repr(shown(other).current)


@pytest.mark.parametrize(
    ("settings", "listens"),
    [("control_tls", {"edge": {"control_host": "0.0.0.0"}}), ("link_tls", {"worker": {"host": "0.0.0.0"}})],
    ids=["control", "link"],
)
def test_a_service_may_be_reached_by_others_only_with_mutual_tls(
    settings: str, listens: dict[str, Any], tmp_path: Path
) -> None:
    keys = {"mode": "keys", "api_keys": {"console": "0123456789abcdef"}}
    files: dict[str, Any] = OURS.issue(tmp_path / "mine").settings
    tls: dict[str, Any] = {settings: files}
    with pytest.raises(ConfigError, match=f"set {settings}"):
        load_config(**listens, auth=keys)
    assert load_config(**listens, auth=keys, **tls)
    for alone in files.items():
        lacking: dict[str, Any] = {settings: dict([alone])}
        with pytest.raises(ConfigError, match=f"{settings}: needs certificate, key and authority"):
            load_config(**lacking)
