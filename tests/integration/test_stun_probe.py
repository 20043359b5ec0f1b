"""The media port answers STUN of strangers: over UDP, with no more than was asked with, and only so often."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from antiphon.client.probing import probe
from antiphon.edge.probes import binding_answer
from tests.support.plane import plane_alone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiphon.edge._media import MediaPlane

TRANSACTION = b"transaction!"
SOFTWARE = 0x8022


def binding(padding: int = 0) -> bytes:
    """A request that names nobody, with an attribute of `padding` bytes."""
    attribute = struct.pack("!HH", SOFTWARE, padding - 4) + bytes(padding - 4) if padding else b""
    return struct.pack("!HHI", 0x0001, padding, 0x2112A442) + TRANSACTION + attribute


@pytest.fixture
def caller() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind(("127.0.0.1", 0))
        caller.settimeout(20)
        yield caller


def running(stun_probe: str) -> MediaPlane:
    return plane_alone(stun_probe=stun_probe)


def ask(caller: socket.socket, plane: MediaPlane, request: bytes) -> bytes:
    caller.sendto(request, ("127.0.0.1", plane.port))
    return caller.recv(1500)


@pytest.mark.parametrize(("policy", "padding"), [("padded", 0), ("padded", 12), ("padded", 24), ("any", 0)])
def test_a_stranger_is_answered_as_the_probe_port_would(caller: socket.socket, policy: str, padding: int) -> None:
    plane = running(policy)
    try:
        answer = ask(caller, plane, binding(padding))
    finally:
        plane.close()
    # The other implementation pads nothing by itself: with a padded request it tells the address.
    told = binding_answer(binding(12 if policy == "any" else padding), *caller.getsockname())
    assert answer == told
    assert policy == "any" or len(answer) <= len(binding(padding))


def test_a_flood_of_one_source_is_refused_and_counted(caller: socket.socket) -> None:
    plane = running("padded")
    counters: dict[str, int] = {}
    try:
        for _ in range(2000):
            for _ in range(20):
                caller.sendto(binding(12), ("127.0.0.1", plane.port))
            counters = plane.counters()
            if counters["drop_probe_source_rate"]:
                break
    finally:
        plane.close()
    assert counters["drop_probe_source_rate"] > 0
    assert counters["probes_answered"] >= 60, "so many at once are fine"
    assert counters["drop_bad_ufrag"] == 0


def test_checks_of_nobody_and_other_methods_are_no_probes(caller: socket.socket) -> None:
    plane = running("any")
    username = struct.pack("!HH4s", 0x0006, 4, b"us:t")
    named = struct.pack("!HHI", 0x0001, len(username), 0x2112A442) + TRANSACTION + username
    indication = struct.pack("!HHI", 0x0011, 0, 0x2112A442) + TRANSACTION
    try:
        caller.sendto(named, ("127.0.0.1", plane.port))
        caller.sendto(indication, ("127.0.0.1", plane.port))
        assert ask(caller, plane, binding())[:2] == b"\x01\x01"
        counters = plane.counters()
    finally:
        plane.close()
    assert (counters["drop_bad_ufrag"], counters["probes_answered"]) == (2, 1)


async def test_the_python_caller_measures_the_way_that_media_takes() -> None:
    plane = running("padded")
    try:
        found = await probe({"here": f"stun:127.0.0.1:{plane.port}"}, longest_s=20)
    finally:
        await asyncio.to_thread(plane.close)
    assert found["here"] > 0
