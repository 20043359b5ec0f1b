"""What stands in the docs' pictures of dashboards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from deploy.grafana import draw
from deploy.grafana.boards import DASHBOARDS, overview
from deploy.grafana.model import document

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0123, "percentunit", "1.23 %"),
        (0.25, "s", "250 ms"),
        (2.5, "s", "2.5 s"),
        (3 * 2**20, "bytes", "3 MiB"),
        (1.5, "ops", "1.5/s"),
        (12, "short", "12"),
    ],
)
def test_values_are_said_with_their_unit(value: float, unit: str, said: str) -> None:
    assert draw.said(value, unit) == said


def test_cumulative_buckets_become_what_is_in_each() -> None:
    times = [-1.0, 0.0]
    lines = [("+Inf", times, [5.0, 9.0]), ("0.5", times, [2.0, 2.0]), ("1.0", times, [2.0, 2.0])]
    assert draw.in_each(lines) == [("to 0.5 s", times, [2.0, 2.0]), ("to +Inf s", times, [3.0, 7.0])]


def test_a_number_has_the_colour_of_the_threshold_that_it_reached() -> None:
    panels = json.loads(document(overview.DASHBOARD))["panels"]
    (panel,) = (panel for panel in panels if panel["title"] == "Answer, p90")
    assert len({draw.colour_of(panel, value) for value in (0.5, 1.0, 1.5)}) == 3


def test_the_docs_show_every_dashboard_that_can_be_drawn() -> None:
    text = (ROOT / "docs" / "dashboards.md").read_text()
    for board in DASHBOARDS:
        if not board.api:
            assert f"dashboards/{board.uid}.png" in text
            assert (ROOT / "docs" / "dashboards" / f"{board.uid}.png").exists()
