"""What our gRPC servers tell of themselves to tools, and that only who may call them hears it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from antiphon.certificates import Certificates, for_client
from antiphon.cluster import Cluster
from antiphon.config import load_config
from antiphon.config_auth import MutualTls
from antiphon.edge.service import Edge
from antiphon.turns import HintedVoice
from antiphon.worker.call import Hearing
from antiphon.worker.host import Host
from antiphon.worker.link import LinkServer
from tests.support.certificates import Authority, Files
from tests.support.plane import FakePlane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

OURS, THEIRS = Authority(), Authority()
CONTROL, LINK = "antiphon.control.v1.EdgeControlService", "antiphon.media.v1.MediaLinkService"


@asynccontextmanager
async def control(tls: Files | None = None) -> AsyncIterator[str]:
    config = load_config(edge={"control_port": 0, "http_port": 0}, control_tls=tls.settings if tls else {})
    async with Cluster(config.redis.address) as cluster:
        edge = Edge(config, cast("Any", FakePlane()), cluster)
        await edge.start()
        try:
            yield edge.record().control
        finally:
            await edge.stop()


@asynccontextmanager
async def link(tls: Files | None = None) -> AsyncIterator[str]:
    certificates = Certificates(MutualTls.model_validate(tls.settings), "link_tls") if tls else None
    server = LinkServer("worker-a", Host({}, Hearing(HintedVoice()), 1), certificates=certificates)
    await server.start("127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop()


def told(address: str, service: str, shown: Files | None = None) -> tuple[list[str], list[str]]:
    """What a reflection client learns: the services, and the methods of one. Blocks."""
    certificates = Certificates(MutualTls.model_validate(shown.settings)) if shown else None
    channel = (
        grpc.secure_channel(address, for_client(certificates.current))
        if certificates
        else grpc.insecure_channel(address)
    )
    with channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = sorted(database.get_services())
        found = DescriptorPool(database).FindServiceByName(service)
        return services, [method.name for method in found.methods]


SERVERS = pytest.mark.parametrize(
    ("serve", "service", "method"),
    [(control, CONTROL, "OpenSession"), (link, LINK, "Control")],
    ids=["control", "link"],
)
Serve: TypeAlias = "Callable[..., AbstractAsyncContextManager[str]]"


@SERVERS
async def test_a_server_tells_its_service_and_its_methods(serve: Serve, service: str, method: str) -> None:
    async with serve() as address:
        services, methods = await asyncio.to_thread(told, address, service)
    assert services == [service, "grpc.reflection.v1alpha.ServerReflection"]
    assert method in methods


@SERVERS
async def test_behind_mutual_tls_only_who_has_a_certificate_hears_of_it(
    serve: Serve, service: str, method: str, tmp_path: Path
) -> None:
    async with serve(OURS.issue(tmp_path / "server")) as address:
        _, methods = await asyncio.to_thread(told, address, service, OURS.issue(tmp_path / "good"))
        assert method in methods
        for wrong in (None, THEIRS.issue(tmp_path / "foreign", believes=OURS)):
            with pytest.raises(grpc.RpcError) as refused:
                await asyncio.to_thread(told, address, service, wrong)
            assert cast("grpc.Call", refused.value).code() is grpc.StatusCode.UNAVAILABLE
