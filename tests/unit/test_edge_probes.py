"""Probes are answered to anybody, at once, and never with more than was sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.config import load_config
from antiphon.edge import probes as probes_module
from antiphon.edge.probes import Probes, Rate, binding_answer
from antiphon.errors import ConfigError

TRANSACTION = bytes(range(12))


def binding(padding: int = 0, *, kind: int = 1, cookie: int = 0x2112A442) -> bytes:
    """padding: octets of an attribute that means nothing."""
    attribute = struct.pack("!HH", 0x8022, padding - 4) + bytes(padding - 4) if padding else b""
    return struct.pack("!HHI", kind, len(attribute), cookie) + TRANSACTION + attribute


def probes(port: int | None = 0, **edge: object) -> Probes:
    return Probes(load_config(edge={"probe_port": port, **edge}).edge)


async def ask(url: str, request: bytes) -> bytes:
    host, _, port = url.removeprefix("http://").partition("/")[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with closing(writer):
        writer.write(request)
        writer.write_eof()
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


def test_a_padded_request_hears_its_address() -> None:
    answer = binding_answer(binding(12), "192.0.2.1", 32853)
    assert answer is not None
    assert len(answer) == len(binding(12))
    assert answer[:2] == b"\x01\x01"
    assert answer[8:20] == TRANSACTION
    # RFC 5769's sample response has this address, whose mapping does not depend on the transaction.
    assert answer[20:] == bytes.fromhex("002000080001a147e112a643")


def test_a_bare_request_hears_no_more_than_it_said() -> None:
    answer = binding_answer(binding(), "192.0.2.1", 32853)
    assert answer == b"\x01\x01\x00\x00\x21\x12\xa4\x42" + TRANSACTION


def test_ipv6_addresses_are_told_where_there_is_room() -> None:
    answer = binding_answer(binding(24), "2001:db8::1", 80)
    assert answer is not None
    assert answer[20:26] == b"\x00\x20\x00\x14\x00\x02"
    assert len(answer) == 44
    assert binding_answer(binding(20), "2001:db8::1", 80) == answer[:2] + b"\x00\x00" + answer[4:20]


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"x" * 19,
        binding(kind=0x0101),
        binding(kind=0x0011),
        binding(cookie=7),
        binding()[:-1],
        binding() + b"1234",
    ],
)
def test_what_is_no_binding_request_hears_nothing(wrong: bytes) -> None:
    assert binding_answer(wrong, "192.0.2.1", 1) is None


@given(st.binary(max_size=600), st.sampled_from(["192.0.2.1", "2001:db8::1", "fe80::1%eth0"]), st.integers(1, 65535))
def test_nothing_is_amplified(data: bytes, host: str, port: int) -> None:
    for request in (data, binding()[:20] + data, struct.pack("!HHI", 1, len(data), 0x2112A442) + TRANSACTION + data):
        answer = binding_answer(request, host, port)
        assert answer is None or len(answer) <= len(request)


async def test_one_connection_carries_several_probes() -> None:
    async with probes() as running:
        answers = await ask(running.url, b"GET /probe HTTP/1.1\r\nhost: a\r\n\r\n" * 3)
    assert answers.count(b"204 No Content") == 3
    assert b"access-control-allow-origin: *" in answers


async def test_a_connection_is_closed_after_so_many_probes() -> None:
    async with probes() as running:
        answers = await ask(running.url, b"GET /probe HTTP/1.1\r\n\r\n" * 20)
    assert answers.count(b"204 No Content") == 16
    assert answers.count(b"connection: close") == 1


@pytest.mark.parametrize("request_", [b"POST / HTTP/1.1\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\r\n\r\n"])
async def test_other_requests_are_refused(request_: bytes) -> None:
    async with probes() as running:
        assert (await ask(running.url, request_)).startswith(b"HTTP/1.1 400")


async def test_a_head_without_an_end_is_not_read_on() -> None:
    async with probes() as running:
        assert await ask(running.url, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 2000) == b""


async def test_connections_beyond_the_bound_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes_module, "_MOST_CONNECTIONS", 0)
    async with probes() as running:
        assert await ask(running.url, b"GET / HTTP/1.1\r\n\r\n") == b""


async def test_stun_is_answered_on_the_same_port() -> None:
    async with probes() as running:
        host, _, port = running.stun.rpartition(":")
        assert running.url == f"http://{host}:{port}/probe"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect((host, int(port)))
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, b"nonsense")
            await loop.sock_sendall(client, binding(12))
            answer = await asyncio.wait_for(loop.sock_recv(client, 1500), 10)
    assert answer[:2] == b"\x01\x01"


def test_there_are_so_many_answers_a_second() -> None:
    rate = Rate(2)
    assert [rate.allows(now) for now in (7.0, 7.5, 7.9, 8.0, 8.1, 8.2)] == [True, True, False] * 2


async def test_without_a_port_there_are_none() -> None:
    async with probes(None) as running:
        assert (running.url, running.stun) == ("", "")


async def test_what_clients_are_told_can_be_said() -> None:
    async with probes(probe_url="https://fra.example.com/probe", probe_stun="192.0.2.1:3478") as running:
        assert (running.url, running.stun) == ("https://fra.example.com/probe", "192.0.2.1:3478")


async def test_a_taken_port_is_told() -> None:
    async with probes() as running:
        taken = int(running.stun.rpartition(":")[2])
        with pytest.raises(ConfigError, match="probe_port"):
            async with probes(taken):
                pass


@pytest.mark.parametrize(
    ("edge", "words"),
    [
        ({"probe_url": "ftp://x"}, "probe_url"),
        ({"probe_url": "https://x/?a"}, "probe_url"),
        ({"probe_stun": "192.0.2.1"}, "probe_stun"),
        ({"probe_host": "192.0.2.1"}, "edge.probe_host is 192.0.2.1, which others can reach"),
    ],
)
def test_settings_that_cannot_be_are_refused(edge: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(edge=edge)
