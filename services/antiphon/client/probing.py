"""Measures the round trip to each region over STUN, all at once and for a moment only, and remembers what it found."""

from __future__ import annotations

import asyncio
import secrets
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from antiphon.client.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiphon.client.api import Api

LONGEST_S = 0.15
"""What has not answered by then is far away, or away."""
REMEMBER_S = 600.0
_REGIONS_S = 1.0
_AGAIN_S = 0.06
_SLACK_S = 0.02

_BINDING, _BINDING_SUCCESS, _COOKIE = 0x0001, 0x0101, 0x2112A442
# A comprehension-optional attribute, so that an answer with an IPv6 address is no longer than the request.
_PADDING = struct.pack("!HH20x", 0x8022, 20)

_remembered: dict[str, tuple[float, dict[str, float]]] = {}


async def measure(api: Api) -> dict[str, float]:
    """Round trips in ms by region; of regions that did not answer none. Never fails: a call can do without."""
    known = _remembered.get(api.url)
    if known is not None and time.monotonic() < known[0]:
        return known[1]
    try:
        async with asyncio.timeout(_REGIONS_S):
            regions = await api.regions()
    except (CallError, TimeoutError):
        return {}
    stun = {region["name"]: [one["stun"] for one in region["probes"] if one["stun"]] for region in regions}
    found = await probe({name: urls[0] for name, urls in stun.items() if urls})
    if found:
        _remembered[api.url] = (time.monotonic() + REMEMBER_S, found)
    return found


async def probe(addresses: Mapping[str, str], *, longest_s: float = LONGEST_S) -> dict[str, float]:
    """addresses: host:port or stun:host:port by region. Returns ms by region.

    Once the first has answered, who takes more than twice as long is not waited for: it would not be chosen.
    """
    found: dict[str, float] = {}
    deadline = asyncio.get_running_loop().time() + longest_s
    try:
        async with asyncio.timeout_at(deadline) as limit, asyncio.TaskGroup() as group:

            async def ask(region: str, address: str) -> None:
                with suppress(OSError, ValueError, OverflowError):  # of an address that is none
                    rtt_s = await _exchange(address)
                    if not found:
                        began = deadline - longest_s
                        limit.reschedule(min(deadline, began + 2 * rtt_s + _SLACK_S))
                    found[region] = round(1000 * rtt_s, 2)

            for region, address in addresses.items():
                group.create_task(ask(region, address))
    except TimeoutError:
        pass
    return found


async def _exchange(address: str) -> float:
    """Seconds from a request to its answer. Asks again while none comes; cancel it to give up."""
    host, _, port = address.removeprefix("stun:").rpartition(":")
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(_Client, remote_addr=(host.strip("[]"), int(port)))
    try:
        while True:
            transaction = secrets.token_bytes(12)
            client.asked[transaction] = loop.time()
            transport.sendto(struct.pack("!HHI", _BINDING, len(_PADDING), _COOKIE) + transaction + _PADDING)
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S):
                    return await asyncio.shield(client.answered)
    finally:
        transport.close()


class _Client(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.asked: dict[bytes, float] = {}
        self.answered: asyncio.Future[float] = self._loop.create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ANN401 - differs by family
        del addr
        if len(data) < 20 or data[:2] != struct.pack("!H", _BINDING_SUCCESS):
            return
        began = self.asked.get(data[8:20])
        if began is not None and not self.answered.done():
            self.answered.set_result(self._loop.time() - began)
