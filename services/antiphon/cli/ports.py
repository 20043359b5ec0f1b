"""Picks ports on loopback for the services of `antiphon up`: the usual one, or the next that is free."""

from __future__ import annotations

import errno
import random
import socket
from typing import Literal

from antiphon.errors import AntiphonError

Kind = Literal["tcp", "udp"]


class PortTakenError(AntiphonError):
    """Somebody listens on a port that was asked for by its number."""


def is_free(port: int, kind: Kind = "tcp", host: str = "127.0.0.1") -> bool:
    """Tries to bind it. A port in TIME_WAIT counts as free for TCP, as it does for servers."""
    with _socket(kind, host) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def any_free(kind: Kind = "tcp", host: str = "127.0.0.1") -> int:
    """Returns one at random from below Linux's ephemeral range, so that no outgoing connection takes it meanwhile."""
    for port in random.sample(range(20_000, 32_000), 200):
        if is_free(port, kind, host):
            return port
    with _socket(kind, host) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def require(port: int, host: str = "127.0.0.1") -> int:
    """Returns the port, or a free one for 0. Raises PortTakenError with what to do."""
    if port == 0:
        return any_free(host=host)
    if not is_free(port, host=host):
        msg = f"port {port} is taken: stop what listens there, or choose another port with --port"
        raise PortTakenError(msg)
    return port


class PortPicker:
    """Gives each port once. With base 0 any free one; else the usual one or the next above it that is free."""

    def __init__(self, base: int) -> None:
        self._base = base
        self._given: set[tuple[Kind, int]] = set()

    def pick(self, offset: int, kind: Kind = "tcp") -> int:
        """offset: how far above the base the service usually listens."""
        port = self._base + offset if self._base else any_free(kind)
        while (kind, port) in self._given or not is_free(port, kind):
            port = port + 1 if self._base else any_free(kind)
            if port > 65535:
                msg = f"no free port from {self._base + offset} up"
                raise PortTakenError(msg)
        self._given.add((kind, port))
        return port


def _socket(kind: Kind, host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    if kind == "tcp":
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made
