"""What a dashboard is made of, and its JSON as Grafana 10 and later read it. The dashboards are in boards/."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Kind = Literal["timeseries", "stat", "heatmap", "table", "bargauge"]
_COLUMNS = 24
INTERVAL = "$__rate_interval"
PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
API = {"type": "yesoreyeram-infinity-datasource", "uid": "${api}"}


@dataclass(frozen=True)
class Query:
    """One PromQL expression and how its series are named."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Rows:
    """What a request of Antiphon's API answers: rows at a path of its JSON, and columns as (selector, title, type)."""

    path: str
    root: str
    columns: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Panel:
    """One picture. `unit` is Grafana's name of it; `thresholds` are the values from which it is yellow and red."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...] = ()
    rows: Rows | None = None
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 7
    thresholds: tuple[float, float] | None = None
    most: float | None = None
    stacked: bool = False


@dataclass(frozen=True)
class Section:
    """A row of panels under a title."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the dashboard's head. `query` is of label_values; without one people write it."""

    name: str
    label: str
    query: str = ""


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    description: str
    sections: tuple[Section, ...]
    variables: tuple[Variable, ...] = ()
    api: bool = False
    links: tuple[tuple[str, str], ...] = field(default=())

    @property
    def panels(self) -> list[Panel]:
        return [panel for section in self.sections for panel in section.panels]


REGION = Variable("region", "Region", "label_values(antiphon_edge_sessions, region)")
EDGE = Variable("edge", "Edge", 'label_values(antiphon_edge_sessions{region=~"$region"}, instance)')
WORKER = Variable("worker", "Worker", "label_values(antiphon_worker_links, instance)")
AGENT = Variable("agent", "Agent", "label_values(antiphon_worker_sessions, agent)")
SESSION = Variable("session", "Session")


def query(expression: str, legend: str = "") -> Query:
    return Query(" ".join(expression.split()), legend)


def quantile(
    share: float, histogram: str, matchers: str, by: str = "", legend: str | None = None, over: str = INTERVAL
) -> Query:
    """One quantile of a histogram, named by its label `by`."""
    group = f"le, {by}" if by else "le"
    return query(
        f"histogram_quantile({share}, sum by ({group}) (rate({histogram}_bucket{matchers}[{over}])))",
        " ".join((f"p{share * 100:g}", *_names(by))) if legend is None else legend,
    )


def quantiles(histogram: str, matchers: str, by: str = "", shares: Sequence[float] = (0.5, 0.9, 0.99)) -> list[Query]:
    """Quantiles of a histogram over the panel's interval."""
    return [quantile(share, histogram, matchers, by) for share in shares]


def rate(counter: str, matchers: str = "", by: str = "", legend: str = "") -> Query:
    """Events a second; `by` names labels, separated by commas, and the series by them."""
    group = f" by ({by})" if by else ""
    return query(f"sum{group} (rate({counter}{matchers}[{INTERVAL}]))", legend or " ".join(_names(by)))


def gauge(metric: str, matchers: str = "", by: str = "instance") -> Query:
    """A gauge as it is, named by its label `by`."""
    return query(f"{metric}{matchers}", " ".join(_names(by)))


def cpu(role: str, matchers: str = "") -> Query:
    """Cores that each process of a role uses; `matchers` without braces."""
    chosen = ", ".join(part for part in (f'job="antiphon-{role}"', matchers) if part)
    return query(f"rate(process_cpu_seconds_total{{{chosen}}}[{INTERVAL}])", "{{instance}}")


def _names(by: str) -> list[str]:
    return [f"{{{{{label}}}}}" for label in by.replace(",", " ").split()]


def document(dashboard: Dashboard) -> str:
    """A dashboard as the file that Grafana provisions or a ConfigMap carries."""
    body = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["antiphon"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [
            {"type": "dashboards", "title": "Antiphon", "tags": ["antiphon"], "asDropdown": True, "keepTime": True}
        ],
        "templating": {"list": list(_variables(dashboard))},
        "panels": list(_panels(dashboard)),
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def _variables(dashboard: Dashboard) -> Iterable[dict[str, Any]]:
    yield _source("datasource", "Prometheus", "prometheus")
    if dashboard.api:
        yield _source("api", "Antiphon's API", str(API["type"]))
    for variable in dashboard.variables:
        if not variable.query:
            yield {"name": variable.name, "label": variable.label, "type": "textbox", "query": "", "current": {}}
            continue
        yield {
            "name": variable.name,
            "label": variable.label,
            "type": "query",
            "datasource": PROMETHEUS,
            "query": {"query": variable.query, "refId": variable.name},
            "definition": variable.query,
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        }


def _source(name: str, label: str, kind: str) -> dict[str, Any]:
    return {"name": name, "label": label, "type": "datasource", "query": kind, "current": {}, "hide": 0}


def _panels(dashboard: Dashboard) -> Iterable[dict[str, Any]]:
    number, y = 0, 0
    for section in dashboard.sections:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": section.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": _COLUMNS, "h": 1},
            "panels": [],
        }
        y += 1
        x, tallest = 0, 0
        for panel in section.panels:
            if x + panel.width > _COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            yield _panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": panel.height})
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    custom: dict[str, Any] = {}
    if panel.kind == "timeseries":
        custom = {"lineWidth": 1, "fillOpacity": 20 if panel.stacked else 0, "showPoints": "never"}
        custom["stacking"] = {"mode": "normal" if panel.stacked else "none"}
        if panel.thresholds:
            custom["thresholdsStyle"] = {"mode": "line"}
    defaults: dict[str, Any] = {"unit": panel.unit, "custom": custom, "thresholds": _thresholds(panel), "min": 0}
    if panel.most is not None:
        defaults["max"] = panel.most
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": API if panel.rows else PROMETHEUS,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
        "targets": [_rows(panel.rows)] if panel.rows else [_target(panel, i, q) for i, q in enumerate(panel.queries)],
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.thresholds:
        steps += [{"color": c, "value": v} for c, v in zip(("yellow", "red"), panel.thresholds, strict=True)]
    return {"mode": "absolute", "steps": steps}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        legend = {"showLegend": True, "displayMode": "list", "placement": "bottom"}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "heatmap":
        return {"calculate": False, "yAxis": {"unit": panel.unit}, "color": {"mode": "scheme", "scheme": "Oranges"}}
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "orientation": "auto"}


def _target(panel: Panel, index: int, found: Query) -> dict[str, Any]:
    target: dict[str, Any] = {
        "refId": chr(ord("A") + index),
        "datasource": PROMETHEUS,
        "expr": found.expression,
        "legendFormat": found.legend or "__auto",
        "exemplar": panel.kind == "timeseries" and "_bucket" in found.expression,
    }
    if panel.kind == "heatmap":
        target["format"] = "heatmap"
    elif panel.kind == "table":
        target |= {"format": "table", "instant": True}
    return target


def _rows(rows: Rows) -> dict[str, Any]:
    columns = [{"selector": selector, "text": title, "type": kind} for selector, title, kind in rows.columns]
    return {
        "refId": "A",
        "datasource": API,
        "type": "json",
        "source": "url",
        "parser": "backend",
        "format": "table",
        "url": rows.path,
        "url_options": {"method": "GET"},
        "root_selector": rows.root,
        "columns": columns,
    }
