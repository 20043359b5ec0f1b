"""The socket's side of the door: slow, large and malformed requests on real connections."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from antiphon.config import load_config
from antiphon.signaling import protocol as protocol_module
from antiphon.signaling import requests as requests_module
from antiphon.signaling import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.cluster.embedded import EmbeddedValkey

GET = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/sdp\r\n"


@asynccontextmanager
async def node(valkey: EmbeddedValkey) -> AsyncIterator[int]:
    """The port of a node that listens on a real socket."""
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    config = load_config(redis={"url": valkey.url}, signaling={"port": 0, "max_header_bytes": 8192})
    running = asyncio.create_task(run(config, started=started.set_result))
    yield await started
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def said(port: int, *sent: bytes) -> bytes:
    """Everything that the node answers until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in sent:
        writer.write(part)
        with suppress(ConnectionError):
            await writer.drain()
    async with asyncio.timeout(30):
        answer = await reader.read(-1)
    writer.close()
    return answer


def problem(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"connection: close" in head.lower()
    told: dict[str, Any] = json.loads(body)
    assert int(head.split(b" ")[1]) == told["status"]
    return told["status"], told["code"]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (GET + b"X: " + b"x" * 9000, 431, "headers_too_large"),
        (b"GET /" + b"x" * 9000, 431, "headers_too_large"),
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad_request"),
        (GET + b"A B: c\r\n\r\n", 400, "bad_request"),
        (POST + b"Content-Length: 99999999\r\n\r\n", 413, "too_large"),
        (POST + b"Content-Length: -1\r\n\r\n", 400, "bad_request"),
        (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400, "bad_request"),
        (
            POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"x" * 65535 + b"\r\n2\r\nxx\r\n",
            413,
            "too_large",
        ),
    ],
)
async def test_what_is_too_large_or_no_http_is_refused(
    valkey: EmbeddedValkey, sent: bytes, status: int, code: str
) -> None:
    async with node(valkey) as port:
        assert problem(await said(port, sent)) == (status, code)
        assert (await said(port, GET + b"Connection: close\r\n\r\n")).endswith(b"ok\n")


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET", GET, GET + b"\r\n" + GET],
    ids=["nothing", "half a line", "headers without their end", "half of a second request"],
)
async def test_headers_that_do_not_come_are_not_waited_for(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(protocol_module, "_HEADERS_S", 0.1)
    async with node(valkey) as port:
        answer = await said(port, sent)
    if sent.startswith(GET + b"\r\n"):
        first, ok, answer = answer.partition(b"ok\n")
        assert first.startswith(b"HTTP/1.1 200")
        assert ok
        if not answer:
            return  # uvicorn's own limit for idle connections was quicker
    assert problem(answer) == (408, "request_timeout")


async def test_a_drip_of_headers_does_not_hold_a_connection(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol_module, "_HEADERS_S", 0.3)
    async with node(valkey) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def drip() -> None:
            writer.write(GET)
            while True:
                writer.write(b"X: y\r\n")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(30):
            answer = await reader.read(-1)
        dripping.cancel()
        writer.close()
    assert problem(answer) == (408, "request_timeout")


async def test_a_drip_of_a_body_does_not_hold_a_connection(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "_BODY_S", 0.1)
    async with node(valkey) as port:
        answer = await said(port, POST + b"Content-Length: 1000\r\n\r\n", b"v=0\r\n")
    assert problem(answer) == (408, "request_timeout")


async def test_requests_on_one_connection_are_answered_one_after_another(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol_module, "_HEADERS_S", 5.0)
    async with node(valkey) as port:
        answer = await said(port, (GET + b"\r\n") * 3 + GET[:10], GET[10:] + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 4
