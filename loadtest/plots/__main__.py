"""Makes the tables and plots of the docs: `python -m loadtest.plots [name ...]`, all by default."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol, cast

from loadtest.plots import loss_down, loss_up, style
from loadtest.plots.tables import DOCS, insert, measure, read

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from loadtest.plots.tables import Row


class Plot(Protocol):
    """One figure; each has a module."""

    NAME: str
    EXAMPLE: str

    def draw(self, rows: list[Row]) -> Figure: ...

    def words(self, rows: list[Row]) -> str:
        """What the page on loss says of it."""
        ...


PLOTS = [cast("Plot", module) for module in (loss_up, loss_down)]


def main(names: list[str]) -> None:
    style.use()
    for plot in PLOTS:
        if names and plot.NAME not in names:
            continue
        table, picture = DOCS / f"{plot.NAME}.tsv", DOCS / f"{plot.NAME}.svg"
        table.write_text(measure(plot.EXAMPLE), encoding="utf-8")
        rows = read(table)
        style.save(plot.draw(rows), picture)
        insert(DOCS / "loss.md", plot.NAME, plot.words(rows))
        print(f"{table.relative_to(DOCS.parent)}, {picture.relative_to(DOCS.parent)}")


if __name__ == "__main__":
    main(sys.argv[1:])
