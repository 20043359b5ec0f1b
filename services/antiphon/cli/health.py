"""Whether a service answers: what a supervisor waits for."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def answers(http: httpx.AsyncClient, host: str, port: int) -> Callable[[], Awaitable[bool]]:
    """Returns a question: does /readyz say 200?"""
    url = f"http://{in_url(host)}:{port}/readyz"

    async def ready() -> bool:
        try:
            return (await http.get(url)).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    return ready


async def pings(port: int) -> bool:
    """Whether a Redis answers on this port of 127.0.0.1."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        async with asyncio.timeout(1.0):
            return await reader.readline() == b"+PONG\r\n"
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
