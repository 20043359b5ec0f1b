"""`python -m tests.interop [peer...]`: calls with each peer that this machine has, and writes docs/interop.md.

Exit code 1 where a fact is not as it should be. A run of some peers only leaves the page alone.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from tests.interop import aiortc, chromium, facts, firefox, gstreamer, pion
from tests.interop.browsers import FIREFOX, PULSEAUDIO
from tests.interop.world import world
from tests.support.browser import CHROMIUM
from tests.support.namespaces import why_no_namespaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.world import World

_GSTREAMER = (
    "webrtcbin or its bindings are not installed (Debian: gstreamer1.0-plugins-bad gstreamer1.0-plugins-good "
    "gstreamer1.0-nice python3-gi gir1.2-gst-plugins-bad-1.0)"
)
PEERS: dict[str, tuple[Callable[[World, facts.Facts], None], Callable[[], str]]] = {
    "chromium": (chromium.run, lambda: "" if CHROMIUM else "Chromium is not installed (Debian: chromium)"),
    "firefox": (
        firefox.run,
        lambda: (
            "" if FIREFOX and PULSEAUDIO else "Firefox or PulseAudio is not installed (Debian: firefox-esr, pulseaudio)"
        ),
    ),
    "aiortc": (aiortc.run, lambda: ""),
    "gstreamer": (gstreamer.run, lambda: "" if gstreamer.version() else _GSTREAMER),
    "pion": (pion.run, pion.missing),
}
"""By name: calls with it, and says what is missing for that."""


def main(names: list[str]) -> int:
    if (reason := why_no_namespaces()) is not None:
        print(reason, file=sys.stderr)
        return 2
    if strangers := set(names) - set(PEERS):
        print(f"{', '.join(sorted(strangers))}: unknown; there are {', '.join(PEERS)}", file=sys.stderr)
        return 2
    found = [_called(name) for name in names or PEERS]
    if not names:
        facts.write(found, facts.machine())
    return 0 if all(one.as_wanted for one in found) else 1


def _called(name: str) -> facts.Facts:
    """A peer that breaks off is a fact, and does not keep the others from being called."""
    run, missing = PEERS[name]
    told = facts.Facts(name, missing=missing())
    if told.missing:
        print(f"{name}: {told.missing}", file=sys.stderr)
        return told
    try:
        with world() as made:
            run(made, told)
    except Exception as error:
        traceback.print_exc()
        said = str(error).strip().splitlines() or [""]
        told.add("ran to its end", f"{type(error).__name__}: {said[-1]}", wanted=False)
    return told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
