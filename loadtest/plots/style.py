"""How the plots look: one colour and mark for each means of repair, in every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

REPAIRS = {
    "none": ("no repair", "#8a8f98", "x"),
    "red": ("RED, distance 1", "#d9822b", "s"),
    "nack": ("NACK", "#3b7dd8", "^"),
    "red+nack": ("RED and NACK", "#1f8a5b", "o"),
}
"""Label, colour and mark of each."""


def use() -> None:
    """Sets what all figures share. SVG ids are fixed, so that the same table gives the same file."""
    mpl.use("Agg")
    plt.rcParams.update(
        {
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 10,
            "figure.facecolor": "white",
            "font.size": 9,
            "grid.color": "#e3e5e8",
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "lines.markersize": 4.5,
            "svg.hashsalt": "antiphon",
        }
    )


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
