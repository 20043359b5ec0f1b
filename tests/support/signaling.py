"""A signaling node in this process, over a real Valkey, with the members that a test wants."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from antiphon.config import load_config
from antiphon.signaling.app import create_app
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.cluster.embedded import EmbeddedValkey
    from antiphon.spans import Tracing

OFFER = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:abcd\r\n"
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


@asynccontextmanager
async def signaling(
    valkey: EmbeddedValkey,
    client: tuple[str, int] = ("127.0.0.1", 50000),
    tracing: Tracing | None = None,
    **sections: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of it. `client` is the address that requests seem to come from."""
    app = create_app(load_config(**({"redis": {"url": valkey.url}} | sections)), tracing=tracing)
    transport = httpx.ASGITransport(app, client=client)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        yield http


@asynccontextmanager
async def served(valkey: EmbeddedValkey, **sections: Any) -> AsyncIterator[str]:
    """The URL of a signaling node behind a real socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = create_app(load_config(**({"redis": {"url": valkey.url}} | sections)))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        task = asyncio.create_task(server.serve([listening]))
        await until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
