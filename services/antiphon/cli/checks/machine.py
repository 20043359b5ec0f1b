"""The machine: the kernel's UDP buffers, open files, the native module."""

from __future__ import annotations

import importlib
import resource
from pathlib import Path
from typing import TYPE_CHECKING

from antiphon.cli.checks.check import Check, Role, failure, ok, warning

if TYPE_CHECKING:
    from antiphon.config import Config

BUFFER = 4 << 20
"""Octets that each of an edge's media sockets asks for, in each direction."""
_SPARE_FILES = 256
_HTTP_FILES = 1024


def check_machine(role: Role, config: Config, proc: Path = Path("/proc")) -> list[Check]:
    """Blocks for a moment. proc: where the kernel shows its settings."""
    found = [_open_files(role, config)]
    if role == "edge":
        found += [_buffer(proc, name) for name in ("rmem_max", "wmem_max")]
        found.append(_native())
    return found


def _buffer(proc: Path, name: str) -> Check:
    setting = f"net.core.{name}"
    try:
        size = int((proc / "sys/net/core" / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        means = "Whether bursts of packets fit cannot be told."
        return warning(setting, "cannot be read", means, f"On Linux, set it to {BUFFER} or more on the host.")
    if size >= BUFFER:
        return ok(setting, f"{size} octets")
    means = f"A media socket asks for {BUFFER} octets and gets fewer: a burst, or a pause of the edge, loses packets."
    todo = f"`sysctl -w {setting}={BUFFER}` on the host, and the same line in /etc/sysctl.d."
    return warning(setting, f"{size} octets", means, todo)


def _open_files(role: Role, config: Config) -> Check:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed = files_needed(role, config)
    if limit == resource.RLIM_INFINITY:
        return ok("open files", "unlimited")
    fact = f"{limit} allowed, {needed} may be needed"
    if limit >= needed:
        return ok("open files", fact)
    means = "At full load new connections are refused."
    return warning("open files", fact, means, f"Raise it: `ulimit -n {needed}`, or LimitNOFILE={needed} in its unit.")


def files_needed(role: Role, config: Config) -> int:
    """An upper bound: an edge may have each caller on TCP, signaling each client on a connection of its own."""
    if role == "edge":
        return _SPARE_FILES + len(config.edge.hosts) * config.edge.shards + config.edge.capacity * config.edge.tcp
    return _HTTP_FILES if role == "signaling" else _SPARE_FILES


def _native() -> Check:
    try:
        importlib.import_module("antiphon.edge._media")
    except ImportError as error:
        todo = "Install the wheel for this machine's platform, or build it from source."
        return failure("native module", f"cannot be loaded: {error}", "The edge cannot start.", todo)
    return ok("native module", "loads")
