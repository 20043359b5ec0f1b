"""A signaling node in this process, over a real Valkey, with the members that a test wants."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from antiphon.config import load_config
from antiphon.signaling.app import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.cluster.embedded import EmbeddedValkey

OFFER = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:abcd\r\n"
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


@asynccontextmanager
async def signaling(
    valkey: EmbeddedValkey, client: tuple[str, int] = ("127.0.0.1", 50000), **sections: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of it. `client` is the address that requests seem to come from."""
    app = create_app(load_config(redis={"url": valkey.url}, **sections))
    transport = httpx.ASGITransport(app, client=client)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        yield http
