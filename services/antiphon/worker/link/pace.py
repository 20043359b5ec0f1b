"""How long frames wait for company: a message costs grpc.aio about 150 us, so many links gather longer."""

from __future__ import annotations

_ONE_LINK_US = 1_000
_EACH_LINK_US = 250
_LONGEST_US = 10_000


def gather_us(links: int) -> int:
    """Returns the gathering time for each of `links` links: 1 ms up to four, 5 ms for twenty, 10 ms from forty on."""
    return min(max(_ONE_LINK_US, _EACH_LINK_US * links), _LONGEST_US)
