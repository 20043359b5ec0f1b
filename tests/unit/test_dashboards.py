"""Dashboards are what their generator says, and each panel can be read by who did not write it."""

from __future__ import annotations

import json
import re

import pytest
from deploy.grafana.boards import DASHBOARDS
from deploy.grafana.generate import FOLDER
from deploy.grafana.model import Dashboard, Panel, document
from tools.metrics_table import rows

PANELS = [pytest.param(panel, id=f"{board.uid}: {panel.title}") for board in DASHBOARDS for panel in board.panels]
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "up"}
RATIOS = re.compile(r"antiphon:[a-z_]+:ratio_rate[0-9]+[mh]")
PATTERNS = re.compile(r'__name__=~"([^"]+)"')


def names() -> set[str]:
    """Every name that Prometheus knows a metric of ours by."""
    found: set[str] = set()
    for metrics in rows().values():
        for row in metrics:
            suffixes = ("_bucket", "_sum", "_count") if row.kind == "histogram" else ("",)
            found |= {row.name + suffix for suffix in suffixes}
    return found


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_the_committed_file_is_what_the_generator_writes(board: Dashboard) -> None:
    assert (FOLDER / f"{board.uid}.json").read_text() == document(board), "run make dashboards"


def test_no_file_is_left_of_a_dashboard_that_is_no_more() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {board.uid for board in DASHBOARDS}


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_a_unit_a_description_and_a_source(panel: Panel) -> None:
    assert panel.unit
    assert panel.description.endswith(".")
    assert bool(panel.queries) != bool(panel.rows)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_asks_for_metrics_that_exist(panel: Panel) -> None:
    known = names() | PROCESS
    for query in panel.queries:
        for pattern in PATTERNS.findall(query.expression):
            assert [name for name in known if re.fullmatch(pattern, name)], pattern
        plain = re.sub(r'"[^"]*"', "", RATIOS.sub("", query.expression))
        asked = set(re.findall(r"\b(?:antiphon_[a-z0-9_]+|process_[a-z_]+)\b", plain))
        assert asked <= known


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_variables_are_used_and_declared(board: Dashboard) -> None:
    body = json.loads(document(board))
    declared = {variable["name"] for variable in body["templating"]["list"]}
    text = json.dumps(body["panels"]) + json.dumps([v.query for v in board.variables])
    used = set(re.findall(r"\$\{?([a-z]+)\}?", text.replace("$__rate_interval", "")))
    assert used <= declared
    assert {variable.name for variable in board.variables} <= used


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_panels_do_not_overlap_and_fit_the_grid(board: Dashboard) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(document(board))["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
