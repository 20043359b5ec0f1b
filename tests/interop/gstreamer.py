"""GStreamer's webrtcbin, driven by the system's Python, which has its bindings."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.interop import programs

if TYPE_CHECKING:
    from tests.interop.facts import Facts
    from tests.interop.world import World

SYSTEM_PYTHON = "/usr/bin/python3"
_CALLER = Path(__file__).with_name("peers") / "gstreamer_caller.py"
_ASKED = "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import Gst, GstWebRTC; Gst.init(None); "
_ASKED += "assert all(Gst.ElementFactory.find(name) for name in ('webrtcbin', 'nicesrc', 'opusdec', 'oggdemux')); "
_ASKED += "print(Gst.version_string())"


def run(world: World, facts: Facts) -> None:
    facts.version = f"{version()}, webrtcbin"
    programs.usual_calls(world, programs.Program((SYSTEM_PYTHON, str(_CALLER)), programs.read_raw), facts, _own)


def _own(told: dict[str, Any]) -> str:
    seen = told["statistics"]
    inbound, outbound = seen.get("inbound-rtp", {}), seen.get("outbound-rtp", {})
    return ", ".join(
        f"{name} {side[key]}"
        for name, side, key in (
            ("sent", outbound, "packets-sent"),
            ("NACKs received", outbound, "nack-count"),
            ("received", inbound, "packets-received"),
            ("lost", inbound, "packets-lost"),
            ("NACKs sent", inbound, "nack-count"),
        )
        if key in side
    )


@functools.cache
def version() -> str:
    """Empty where a part of it is missing."""
    try:
        done = subprocess.run((SYSTEM_PYTHON, "-c", _ASKED), check=False, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
