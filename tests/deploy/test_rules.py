"""Prometheus' rules: promtool's own tests of them, and a runbook for each alert."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.grafana.boards import DASHBOARDS
from tools.metrics_table import rows

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "helm" / "antiphon" / "files" / "rules.yaml"
TESTS = ROOT / "deploy" / "prometheus" / "rules_test.yaml"
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
ALL = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in ALL if "alert" in rule]
HEADINGS = re.findall(r"^### (\w+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)


def test_promtool_finds_the_rules_right() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(600)  # promtool evaluates days of rules: most of a minute on an idle core
def test_alerts_fire_and_stay_silent_as_they_should() -> None:
    done = subprocess.run(["promtool", "test", "rules", str(TESTS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert['alert']}, {alert['labels']['severity']}")
def test_an_alert_is_tested_has_a_runbook_and_asks_for_metrics_that_exist(alert: dict[str, Any]) -> None:
    name, severity = alert["alert"], alert["labels"]["severity"]
    assert severity in {"page", "ticket"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
    assert name in HEADINGS
    tests = TESTS.read_text()
    fires = re.compile(rf'alertname="{name}", severity="{severity}".*\n.*\n *exp_samples: \[\{{labels')
    assert fires.search(tests), f"no test in which {name} fires as a {severity}"
    silent = re.compile(rf'alertname="{name}", severity="{severity}".*\n.*\n *exp_samples: \[\]')
    assert silent.search(tests), f"no test in which {name} is silent as a {severity}"


def test_rules_ask_for_metrics_that_exist() -> None:
    known = {
        row.name + suffix for metrics in rows().values() for row in metrics for suffix in ("", "_bucket", "_count")
    }
    for rule in ALL:
        plain = re.sub(r'"[^"]*"', "", rule["expr"])
        assert set(re.findall(r"\bantiphon_[a-z0-9_]+", plain)) <= known


def test_every_panel_asks_in_promql(tmp_path: Path) -> None:
    asked = [query.expression for board in DASHBOARDS for panel in board.panels for query in panel.queries]
    plain = [re.sub(r"\$[a-z]+", ".*", expression.replace("$__rate_interval", "1m")) for expression in asked]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(plain)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    command = ["promtool", "check", "rules", "--lint", "none", str(tmp_path / "panels.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_no_runbook_without_an_alert() -> None:
    assert set(HEADINGS) == {alert["alert"] for alert in ALERTS}
