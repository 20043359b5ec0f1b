"""Figures get into the documents as they were found, with the machine's name."""

from __future__ import annotations

import pytest
from loadtest.figures import BEGIN, END, document, with_figures

from tests.unit.test_bench import report

MACHINE = {"cpu": "a processor", "cores": 2, "kernel": "Linux 6", "at": "2026-11-26T02:00:00Z"}
BENCH = {
    "machine": MACHINE,
    "verdicts": [
        {"target": "memory ≤ 40 KiB", "found": "21 KiB", "met": True},
        {"target": "delay ≤ 1 ms", "found": "2 ms", "met": False},
        {"target": "set-up", "found": "not measured", "met": None},
    ],
    "notes": ["other work took 0.4 cores"],
    "antiphon": {"300": report()},
}


def test_readme_has_the_figures_between_its_marks() -> None:
    readme = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    written = with_figures(readme, {"bench": BENCH})
    assert written.startswith("before\n")
    assert written.endswith("\nafter\n")
    assert "old" not in written
    assert "a processor, 2 cores, Linux 6, 2026-11-26" in written
    assert "| memory ≤ 40 KiB | 21 KiB | yes |" in written
    assert "| delay ≤ 1 ms | 2 ms | **no** |" in written
    assert with_figures(written, {"bench": BENCH}) == written


def test_a_readme_without_marks_is_told() -> None:
    with pytest.raises(ValueError, match="lacks the marks"):
        with_figures("nothing", {"bench": BENCH})


def test_the_document_tells_of_a_soak_and_of_fuzzing() -> None:
    sample = {"kib": {"edge": 80_000}, "descriptors": {"edge": 40}, "tables": {"flows": 0}}
    lives = {"begun": 900, "failed": 0, "roamed": 50, "restarted": 30}
    soak = {
        "machine": MACHINE,
        "calls": 300,
        "seconds": 1800.0,
        "lives": lives,
        "samples": [sample] * 2,
        "last": sample,
    }
    text = document({"bench": BENCH, "soak": soak, "fuzz": {"runs": {"engine": 10_000_000}}})
    assert "| edge | 78 | 78 | 78 | 40 | 40 |" in text
    assert "| engine | 10,000,000 | none |" in text
    assert "other work took 0.4 cores" in text
