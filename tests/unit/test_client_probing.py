"""The Python caller measures the way to each region, against real probes, and waits for no dead one."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from antiphon.client import probing
from antiphon.client.errors import CallRefusedError
from antiphon.client.probing import measure, probe
from antiphon.config import load_config
from antiphon.edge.probes import Probes

if TYPE_CHECKING:
    from collections.abc import Iterator


class Regions:
    """Takes the place of the HTTP API."""

    def __init__(self, *regions: dict[str, Any], url: str = "http://regions.test") -> None:
        self.url = url
        self.asked = 0
        self._regions = list(regions)

    async def regions(self) -> list[dict[str, Any]]:
        self.asked += 1
        if not self._regions:
            raise CallRefusedError("there is nothing at /v1/regions", status=404)
        return self._regions


def region(name: str, *stun: str) -> dict[str, Any]:
    return {"name": name, "probes": [{"http": "http://unused", "stun": one} for one in stun]}


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    probing._remembered.clear()
    yield
    probing._remembered.clear()


def probes() -> Probes:
    return Probes(load_config(edge={"probe_port": 0}).edge)


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where nobody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{deaf.getsockname()[1]}"


async def test_regions_are_measured_once_and_remembered(silent: str) -> None:
    async with probes() as first, probes() as second:
        api = Regions(region("a", first.stun), region("b", second.stun), region("silent", silent), region("none"))
        found = await measure(api)  # type: ignore[arg-type]
        assert set(found) == {"a", "b"}
        assert all(0 < ms < 150 for ms in found.values())
        assert await measure(api) is found  # type: ignore[arg-type]
    assert api.asked == 1


async def test_a_silent_region_is_given_up_in_time(silent: str) -> None:
    began = time.monotonic()
    assert await probe({"silent": silent}, longest_s=0.05) == {}
    assert 0.04 < time.monotonic() - began < 5


async def test_an_answer_to_another_question_is_none() -> None:
    client = probing._Client()
    client.asked[b"t" * 12] = asyncio.get_running_loop().time()
    for wrong in (b"", b"\x01\x01" + bytes(18), b"\x01\x11\x00\x00\x21\x12\xa4\x42" + b"t" * 12):
        client.datagram_received(wrong, None)
    assert not client.answered.done()
    client.datagram_received(b"\x01\x01\x00\x00\x21\x12\xa4\x42" + b"t" * 12, None)
    assert client.answered.done()


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:port", "127.0.0.1:99999", ":"])
async def test_an_address_that_is_none_is_passed_over(address: str) -> None:
    assert await probe({"odd": address}, longest_s=0.05) == {}


async def test_without_regions_a_call_goes_on() -> None:
    assert await measure(Regions()) == {}  # type: ignore[arg-type]
