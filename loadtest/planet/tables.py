"""Tables of a simulated day: its ten-minute bins, and what each kind of evidence is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from loadtest.planet.day import Result

BIN_S = 600.0
BEST_MS = 2.0
"""A way that is longer by no more than that counts as the best."""
KINDS = {"measured": "measured by the caller", "learned": "learned of its network, else GeoIP", "geoip": "GeoIP alone"}

Row = dict[str, str]


def by_evidence(result: Result) -> list[Row]:
    """For each kind of evidence, and for all: what was chosen against the best, in ms."""
    kinds = np.array([one.knowledge for one in result.placed])
    trips, ways = _columns(result)
    rows = [_row(kind, trips[kinds == kind], ways[kinds == kind]) for kind in KINDS]
    return [*rows, _row("all", trips, ways)]


def by_time(result: Result) -> list[Row]:
    """For each ten minutes."""
    bins = (np.array([one.at_s for one in result.placed]) // BIN_S).astype(int)
    _, ways = _columns(result)
    uneven, sessions = dict(result.uneven), dict(result.sessions)
    rows = []
    for at in range(int(bins.max()) + 1):
        here = ways[bins == at]
        if not len(here):
            continue
        rows.append(
            {
                "hour": f"{at * BIN_S / 3600:.3f}",
                "calls": str(len(here)),
                "sessions": str(sessions.get(at * BIN_S, 0)),
                **_quantiles("best", here[:, 1]),
                **_quantiles("chosen", here[:, 0]),
                **_quantiles("longer", here[:, 0] - here[:, 1]),
                "uneven": f"{uneven.get(at * BIN_S, 0.0):.4f}",
            }
        )
    return rows


def write(path: Path, rows: Sequence[Row]) -> None:
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _columns(result: Result) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Chosen and best, of round trips to the edge and of ways to the worker."""
    trips = np.array([(one.trip_ms, one.best_trip_ms) for one in result.placed])
    ways = np.array([(one.way_ms, one.best_way_ms) for one in result.placed])
    return trips, ways


def _row(kind: str, trips: NDArray[np.float64], ways: NDArray[np.float64]) -> Row:
    longer = ways[:, 0] - ways[:, 1]
    return {
        "evidence": kind,
        "calls": str(len(ways)),
        **_quantiles("best", ways[:, 1]),
        **_quantiles("chosen", ways[:, 0]),
        **_quantiles("longer", longer),
        "at_best": f"{float((longer <= BEST_MS).mean()):.4f}",
        **_quantiles("edge_best", trips[:, 1]),
        **_quantiles("edge_chosen", trips[:, 0]),
    }


def _quantiles(name: str, values: NDArray[np.float64]) -> Row:
    return {f"{name}_p{q}": f"{float(np.percentile(values, q)):.1f}" for q in (50, 99)}
