"""Bad networks for real programs: runs `antiphon-impairer` before a UDP server, or between two network namespaces."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.namespaces import Namespace

_MEDIA_PLANE = Path(__file__).resolve().parents[2] / "services" / "media-plane"
NOTHING = "none"
"""Qualities of a perfect network. docs/impairer.md lists what else may be said."""


@dataclass(frozen=True)
class Impairer:
    """A running one. `up` is from client to server, or from left to right."""

    process: subprocess.Popen[str]
    address: str
    """host:port where a proxy listens."""

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])

    def up(self, qualities: str) -> None:
        self._tell(f"up {qualities}")

    def down(self, qualities: str) -> None:
        self._tell(f"down {qualities}")

    def both(self, qualities: str) -> None:
        self.up(qualities)
        self.down(qualities)

    def rebind(self) -> None:
        """Each client of a proxy comes from another port from now on, as behind a NAT that forgot it."""
        self._tell("rebind")

    def counts(self) -> dict[str, dict[str, int]]:
        """By direction: sent, lost, duplicated, held_back, dropped, blocked."""
        return self._tell("counts")

    def _tell(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        answer = self._hear()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the impairer has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def udp(server: str, *, up: str = NOTHING, down: str | None = None, seed: int = 1) -> Iterator[Impairer]:
    """A proxy on loopback before `server` (host:port); `down` is as `up` unless said."""
    with _running(("udp", server), up, down, seed) as impairer:
        yield impairer


@contextmanager
def routed(
    left: Namespace,
    left_device: str,
    right: Namespace,
    right_device: str,
    *,
    up: str = NOTHING,
    down: str | None = None,
    seed: int = 1,
) -> Iterator[Impairer]:
    """Devices in two namespaces joined by a bad path. They have no addresses yet: see Namespace.address."""
    ends = f"{left.name}/{left_device}", f"{right.name}/{right_device}"
    with _running(("router", *ends), up, down, seed) as impairer:
        yield impairer


@contextmanager
def _running(form: tuple[str, ...], up: str, down: str | None, seed: int) -> Iterator[Impairer]:
    qualities = ("--up", up, "--down", up if down is None else down, "--seed", str(seed))
    with subprocess.Popen(
        (program(), *qualities, *form), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            ready = Impairer(process, "")._hear()["ready"]
            yield Impairer(process, ready)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # its end
            process.wait(timeout=30)


@cache
def program() -> Path:
    """Builds it, as far as it is out of date."""
    command = ("cargo", "build", "--quiet", "--release", "--package", "antiphon-impairer")
    done = subprocess.run(command, cwd=_MEDIA_PLANE, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"cannot build the impairer:\n{done.stderr}"
    return Path(os.environ.get("CARGO_TARGET_DIR", _MEDIA_PLANE / "target")) / "release" / "antiphon-impairer"
