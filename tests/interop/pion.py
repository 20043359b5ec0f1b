"""Pion, as a program in Go that sends RED and repairs by NACK."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.interop import programs

if TYPE_CHECKING:
    from tests.interop.facts import Facts
    from tests.interop.world import World

_SOURCE = Path(__file__).with_name("peers") / "pion-caller"
_PROGRAM = Path(__file__).resolve().parents[2] / "services" / "media-plane" / "target" / "peers" / "pion-caller"


def run(world: World, facts: Facts) -> None:
    found = re.search(r"pion/webrtc/v4 (\S+)", (_SOURCE / "go.mod").read_text())
    facts.version = f"Pion {found.group(1) if found else ''}, with RED of the caller's own making"
    programs.usual_calls(world, programs.Program((str(_PROGRAM),), programs.read_ogg), facts, _own)
    plain = programs.Program((str(_PROGRAM), "-red=false"), programs.read_ogg)
    programs.echo(world, plain, facts, _own, "5 % loss each way, Opus without RED")


def _own(told: dict[str, Any]) -> str:
    return (
        f"sent {told['sent']}, of which the edge reported {told['reported_lost']} lost, asked for "
        f"{told['nacks_received']}; "
        f"received {told['received']} ({told['received_as_red']} as RED), missing for good {told['missing']}"
    )


@functools.cache
def missing() -> str:
    """Builds it; says why it cannot be."""
    if shutil.which("go") is None:
        return "Go is not installed (1.24 or later)"
    done = subprocess.run(
        ("go", "build", "-o", str(_PROGRAM), "."), cwd=_SOURCE, check=False, capture_output=True, text=True
    )
    return "" if done.returncode == 0 else f"cannot be built: {done.stderr.strip()[-300:]}"
