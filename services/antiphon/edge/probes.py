"""Answers clients' probes of the round trip, over HTTP and STUN: no key is asked for, and nothing is kept or amplified.

An HTTP answer has no body; a STUN answer is never longer than its request, so that nobody is sent more than was sent in
their name. Both are bounded: connections at a time, requests on each, answers a second.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from antiphon import telemetry
from antiphon.addresses import host_port
from antiphon.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

    from antiphon.config import EdgeConfig

_ANSWERED = telemetry.counter("edge_probes", "Probes that were answered.", ["transport"])
_REFUSED = telemetry.counter("edge_probes_refused", "Probes that were not, by reason.", ["transport", "reason"])

_MOST_CONNECTIONS = 256
_MOST_REQUESTS = 16
_MOST_HEAD = 4096
_IDLE_S = 5.0
_MOST_STUN_A_SECOND = 2000
_ATTEMPTS = 5

_COOKIE = 0x2112A442
_BINDING, _BINDING_SUCCESS = 0x0001, 0x0101
_XOR_MAPPED_ADDRESS = 0x0020

_ANSWER = (
    b"HTTP/1.1 204 No Content\r\n"
    b"access-control-allow-origin: *\r\n"
    b"timing-allow-origin: *\r\n"
    b"cache-control: no-store\r\n"
)
_KEEP, _CLOSE = _ANSWER + b"\r\n", _ANSWER + b"connection: close\r\n\r\n"
_WRONG = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Probes:
    """Listens while its context lasts. `url` and `stun` are what clients are told; both empty where it answers none."""

    def __init__(self, config: EdgeConfig) -> None:
        self._config = config
        self._connections = 0
        self._server: asyncio.Server | None = None
        self._datagrams: asyncio.DatagramTransport | None = None
        self.url = ""
        self.stun = ""

    async def __aenter__(self) -> Self:
        """Raises ConfigError where the port is taken."""
        config = self._config
        if config.probe_port is None:
            return self
        try:
            listener, datagrams = _bind(config.probe_host, config.probe_port)
        except OSError as error:
            raise ConfigError(
                f"probes cannot be answered on {config.probe_host}:{config.probe_port}: {error.strerror or error}; "
                "stop what listens there, or set edge.probe_host and edge.probe_port"
            ) from None
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=_MOST_HEAD)
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(_Stun, sock=datagrams)
        here = host_port(config.probe_host, listener.getsockname()[1])
        self.url = config.probe_url or f"http://{here}/probe"
        self.stun = config.probe_stun or here
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        if self._datagrams is not None:
            self._datagrams.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= _MOST_CONNECTIONS:
            _REFUSED.labels("http", "connections").inc()
            writer.close()
            return
        self._connections += 1
        try:
            for left in reversed(range(_MOST_REQUESTS)):
                if not await _answer(reader, writer, last=left == 0):
                    break
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass  # a client that left, or has measured
        except asyncio.LimitOverrunError:
            _REFUSED.labels("http", "too_large").inc()
        finally:
            self._connections -= 1
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, last: bool) -> bool:
    """Whether another request may follow on the connection."""
    async with asyncio.timeout(_IDLE_S):
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.partition(b" ")
        right = method in {b"GET", b"HEAD"} and rest.startswith(b"/") and b"HTTP/1.1\r\n" in rest
        if right:
            _ANSWERED.labels("http").inc()
        else:
            _REFUSED.labels("http", "malformed").inc()
        writer.write((_CLOSE if last else _KEEP) if right else _WRONG)
        await writer.drain()
    return right and not last


class Rate:
    """So many each second, counted in whole seconds."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._second = -1
        self._count = 0

    def allows(self, now: float) -> bool:
        """Whether there may be another at `now`, in seconds on any clock that goes forward; it is counted then."""
        if int(now) != self._second:
            self._second, self._count = int(now), 0
        self._count += 1
        return self._count <= self._most


class _Stun(asyncio.DatagramProtocol):
    """Answers Binding requests, so many a second."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._rate = Rate(_MOST_STUN_A_SECOND)

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = binding_answer(data, addr[0], addr[1])
        if answer is None:
            _REFUSED.labels("stun", "malformed").inc()
        elif not self._rate.allows(time.monotonic()):
            _REFUSED.labels("stun", "rate").inc()
        elif self._transport is not None:
            _ANSWERED.labels("stun").inc()
            self._transport.sendto(answer, addr)


def binding_answer(request: bytes, host: str, port: int) -> bytes | None:
    """The answer to a STUN Binding request (RFC 8489); None to what is none.

    It has XOR-MAPPED-ADDRESS where that makes it no longer than the request, and else the header alone.
    """
    if not 20 <= len(request) <= 548:
        return None
    kind, length, cookie = struct.unpack_from("!HHI", request)
    if kind != _BINDING or cookie != _COOKIE or length != len(request) - 20 or length % 4:
        return None
    transaction = request[8:20]
    mapped = _mapped(host, port, transaction)
    if 20 + len(mapped) > len(request):
        mapped = b""
    return struct.pack("!HHI", _BINDING_SUCCESS, len(mapped), _COOKIE) + transaction + mapped


def _mapped(host: str, port: int, transaction: bytes) -> bytes:
    address = ipaddress.ip_address(host.partition("%")[0])
    mask = struct.pack("!I", _COOKIE) + transaction
    packed = bytes(a ^ b for a, b in zip(address.packed, mask, strict=False))
    family = 1 if address.version == 4 else 2
    return struct.pack("!HHBBH", _XOR_MAPPED_ADDRESS, 4 + len(packed), 0, family, port ^ (_COOKIE >> 16)) + packed


def _bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket on the same port, for 0 one that is free for both. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    attempts = 1 if port else _ATTEMPTS
    while True:
        listener, datagrams = (
            socket.create_server((host, port), family=family),
            socket.socket(family, socket.SOCK_DGRAM),
        )
        try:
            datagrams.bind((host, listener.getsockname()[1]))
        except OSError:
            listener.close()
            datagrams.close()
            attempts -= 1
            if not attempts:
                raise
        else:
            datagrams.setblocking(False)
            return listener, datagrams
