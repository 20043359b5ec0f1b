"""Helm, kubeconform, promtool and Prometheus are programs of others: what needs one is left out where it is missing."""

from __future__ import annotations

import shutil

collect_ignore = [
    file
    for program, file in (
        ("helm", "test_chart.py"),
        ("helm", "test_chart_refusals.py"),
        ("helm", "test_chart_schemas.py"),
        ("helm", "test_chart_tracing.py"),
        ("kubeconform", "test_chart_schemas.py"),
        ("promtool", "test_rules.py"),
        ("prometheus", "test_live_dashboards.py"),
    )
    if shutil.which(program) is None
]
