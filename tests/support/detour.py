"""Has a caller's UDP go through a proxy instead of to its edge."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.client import Caller
    from antiphon.client.api import Placed

_UDP = re.compile(r"^(a=candidate:\S+ \d+ udp \d+) (\S+) (\d+) typ", re.MULTILINE | re.IGNORECASE)
_TCP = re.compile(r"^a=candidate:\S+ \d+ tcp .*\r?\n", re.MULTILINE | re.IGNORECASE)


def detour(caller: Caller, port: Callable[[str], int]) -> None:
    """The answer's UDP candidates lead to `port(edge)` of this machine, `edge` being host:port; those of TCP go."""
    create = caller._api.create

    async def through_proxy(sdp: str, **asked: Any) -> Placed:
        placed = await create(sdp, **asked)
        found = _UDP.search(placed.sdp)
        assert found is not None, "the answer has no UDP candidate"
        proxy = port(f"{found[2]}:{found[3]}")
        return replace(placed, sdp=_UDP.sub(rf"\1 127.0.0.1 {proxy} typ", _TCP.sub("", placed.sdp)))

    caller._api.create = through_proxy  # type: ignore[method-assign]
