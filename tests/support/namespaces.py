"""Network namespaces of a test's own: made, entered and taken away again, with whatever ran inside."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_FOLDER = Path("/run/netns")
_numbers = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Namespace:
    """A network of its own: interfaces, addresses, routes, ports."""

    name: str

    def ip(self, *arguments: str) -> str:
        """Runs `ip` inside, and returns what it says."""
        return _ip("-n", self.name, *arguments)

    def address(self, device: str, address: str) -> None:
        """Gives a device an address (with its prefix length), and brings it up."""
        self.ip("address", "add", address, "dev", device, *(("nodad",) if ":" in address else ()))
        self.ip("link", "set", device, "up")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is inside, with the sockets, threads and processes that it makes meanwhile.

        Sockets and processes stay inside when the thread leaves.
        """
        with Path("/proc/thread-self/ns/net").open("rb") as before, (_FOLDER / self.name).open("rb") as inside:
            _enter(inside.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())


@contextmanager
def namespace(role: str) -> Iterator[Namespace]:
    """Makes one, with loopback, and removes it at the end with all its devices."""
    name = f"antiphon-{os.getpid()}-{next(_numbers)}-{role}"
    _ip("netns", "add", name)
    try:
        made = Namespace(name)
        made.ip("link", "set", "lo", "up")
        yield made
    finally:
        _ip("netns", "delete", name)


@contextmanager
def veth(left: Namespace, left_device: str, right: Namespace, right_device: str) -> Iterator[None]:
    """A cable between two namespaces; it has neither loss nor delay."""
    left.ip("link", "add", left_device, "type", "veth", "peer", "name", right_device, "netns", right.name)
    try:
        yield
    finally:
        with contextlib.suppress(RuntimeError):  # the test may have pulled it
            left.ip("link", "delete", left_device)


@cache
def why_no_namespaces() -> str | None:
    """Why this machine lets us make no networks of our own; None where it does."""
    if shutil.which("ip") is None:
        return "network namespaces need `ip` (Debian: apt-get install iproute2)"
    if not Path("/dev/net/tun").exists():
        return "networks between namespaces need /dev/net/tun"
    try:
        with namespace("probe") as probe:
            probe.ip("tuntap", "add", "dev", "probe", "mode", "tun")
    except RuntimeError as error:
        return f"the kernel forbids network namespaces (CAP_SYS_ADMIN and CAP_NET_ADMIN are needed): {error}"
    return None


def _ip(*arguments: str) -> str:
    done = subprocess.run(("ip", *arguments), check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
