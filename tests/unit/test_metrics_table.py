"""docs/metrics.md and the media plane's help texts say what the code says."""

from __future__ import annotations

import re

from tools import metrics_table

from antiphon.edge.counters import MEANINGS


def test_the_table_is_what_the_code_declares() -> None:
    assert metrics_table.DOCUMENT.read_text() == metrics_table.document(), "run make metrics-table"


def test_help_texts_are_what_rust_says() -> None:
    assert metrics_table.COUNTERS.read_text() == metrics_table.counters(), "run make metrics-table"


def test_every_counter_of_a_running_media_plane_is_documented() -> None:
    told = {row.name.removeprefix("antiphon_edge_").removesuffix("_total") for row in metrics_table.rows()["edge"]}
    assert told >= MEANINGS.keys()
    assert not [row for row in metrics_table.rows()["edge"] if row.meaning == row.name]


def test_names_are_prometheus_names_with_our_prefix_and_a_meaning() -> None:
    for metrics in metrics_table.rows().values():
        assert metrics
        for row in metrics:
            assert re.fullmatch(r"antiphon_[a-z0-9_]+", row.name)
            assert row.meaning
            assert (row.kind == "counter") == row.name.endswith("_total")


def test_no_label_is_unbounded() -> None:
    unbounded = {"session", "room", "caller", "address", "turn"}
    for metrics in metrics_table.rows().values():
        for row in metrics:
            assert not unbounded & set(row.labels), row.name
