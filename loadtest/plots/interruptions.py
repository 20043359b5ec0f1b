"""What became of sounds over an agent's speech: `python -m loadtest.plots.interruptions [interruptions.json]`.

Draws docs/interruptions.svg from what `make bench-interruptions` wrote.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np

from loadtest.measuring.tools import ROOT
from loadtest.plots import style
from loadtest.plots.tables import DOCS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {
    "speech": "#3b7dd8", "assent": "#d9822b", "hum": "#b8a13c", "cough": "#8a8f98", "typing": "#c3c7cd",
}  # fmt: skip
_MOST_MS = 1500


def draw(events: list[dict[str, Any]]) -> Figure:
    """Shares that were held, and flushed, by so long after the onset; a panel for each loss."""
    losses = sorted({event["loss"] for event in events})
    figure, panels = plt.subplots(1, len(losses), figsize=(4.6 * len(losses), 3.2), sharey=True, squeeze=False)
    for panel, loss in zip(panels[0], losses, strict=True):
        for kind, colour in _COLOURS.items():
            of_kind = [event for event in events if event["kind"] == kind and event["loss"] == loss]
            if not of_kind:
                continue
            for what, line in (("held_ms", ":"), ("flushed_ms", "-")):
                times = np.sort([event[what] for event in of_kind if event[what] is not None])
                share = np.arange(1, len(times) + 1) / len(of_kind)
                label = f"{kind} ({len(of_kind)})" if what == "flushed_ms" else None
                panel.step([0, *times, _MOST_MS], [0, *share, share[-1] if len(share) else 0], line, where="post",
                           color=colour, label=label)  # fmt: skip
        panel.set(xlim=(0, _MOST_MS), ylim=(0, 1.02), xlabel="ms after the sound's onset", title=f"{loss:.0%} loss")
    panels[0][0].set_ylabel("held (dotted), flushed (line)")
    panels[0][0].legend(loc="center right")
    return figure


def main() -> None:
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "bench-results" / "interruptions.json"
    document = json.loads(source.read_text(encoding="utf-8"))
    style.use()
    style.save(
        draw([event for event in document["events"] if event["agent"] == "storyteller"]), DOCS / "interruptions.svg"
    )


if __name__ == "__main__":
    main()
