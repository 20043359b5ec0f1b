"""grpc.health.v1, byte for byte as its protocol has it, of a server of ours and of the media link."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from antiphon.grpc_health import MOST_WATCHERS, Health
from antiphon.turns import HintedVoice
from antiphon.wire.control.v1 import edge_pb2
from antiphon.wire.media.v1 import link_pb2
from antiphon.worker.call import Hearing
from antiphon.worker.host import Host
from antiphon.worker.link import LinkServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONTROL = edge_pb2.DESCRIPTOR.services_by_name["EdgeControlService"].full_name
LINK = link_pb2.DESCRIPTOR.services_by_name["MediaLinkService"].full_name
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


def asked(service: str) -> bytes:
    """HealthCheckRequest: its field 1 is the name."""
    return b"\x0a" + bytes([len(service)]) + service.encode() if service else b""


async def check(channel: grpc.aio.Channel, service: str = "") -> bytes:
    told: bytes = await channel.unary_unary("/grpc.health.v1.Health/Check", None, None)(asked(service), timeout=20)
    return told


class Served:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.serves = True


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        here = Served(channel)
        Health(CONTROL, lambda: here.serves).join(server)
        await server.start()
        try:
            yield here
        finally:
            await server.stop(0)


async def test_it_tells_whether_work_is_taken_of_the_server_and_of_its_service() -> None:
    async with served() as here:
        assert await check(here.channel) == await check(here.channel, CONTROL) == SERVING
        here.serves = False
        assert await check(here.channel) == await check(here.channel, CONTROL) == NOT_SERVING


async def test_a_service_that_is_elsewhere_is_not_found() -> None:
    async with served() as here:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await check(here.channel, LINK)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_who_watches_hears_each_change() -> None:
    async with served() as here:
        watching = here.channel.unary_stream("/grpc.health.v1.Health/Watch", None, None)(asked(CONTROL), timeout=60)
        assert await watching.read() == SERVING
        here.serves = False
        assert await watching.read() == NOT_SERVING
        here.serves = True
        assert await watching.read() == SERVING
        watching.cancel()
        unknown = here.channel.unary_stream("/grpc.health.v1.Health/Watch", None, None)(asked("other"), timeout=60)
        assert await unknown.read() == SERVICE_UNKNOWN


async def test_watchers_are_bounded() -> None:
    async with served() as here:
        watch = here.channel.unary_stream("/grpc.health.v1.Health/Watch", None, None)
        held: list[Any] = [watch(b"", timeout=60) for _ in range(MOST_WATCHERS)]
        for one in held:
            assert await one.read() == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await watch(b"", timeout=60).read()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_worker_s_link_tells_until_it_drains() -> None:
    server = LinkServer("worker-a", Host({}, Hearing(HintedVoice()), 1))
    await server.start("127.0.0.1", 0)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            assert await check(channel, LINK) == SERVING
            server.drain()
            assert await check(channel) == NOT_SERVING
    finally:
        await server.stop()
