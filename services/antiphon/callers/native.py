"""Starts the native callers, where their module was built; no wheel carries it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from antiphon.errors import AntiphonError

if TYPE_CHECKING:
    from antiphon.callers._callers import Callers


class NoCallersError(AntiphonError):
    """The native module is not there."""


def start_callers(*, bind: str, threads: int) -> Callers:
    """bind: the IPv4 address of their sockets. Raises NoCallersError, OSError, ValueError."""
    try:
        from antiphon.callers._callers import Callers  # noqa: PLC0415 - it may not be there
    except ImportError:
        raise NoCallersError(
            "the native callers are not built, and wheels do not carry them: run make callers in Antiphon's source tree"
        ) from None
    return Callers(bind=bind, threads=threads)


def address_towards(url: str) -> str:
    """The IPv4 address of this machine that packets to the URL's host leave by. Raises OSError."""
    parts = urlsplit(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((parts.hostname or "127.0.0.1", parts.port or 80))
        return str(probe.getsockname()[0])
