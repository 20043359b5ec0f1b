"""Writes docs/metrics.md and services/antiphon/edge/counters.py from what the services' code declares.

The media plane's counters are documented in Rust, where they are counted; their words become Prometheus' help texts.
`python -m tools.metrics_table` writes both files; a test holds them to it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from antiphon.cluster import Cluster
from antiphon.config import load_config
from antiphon.edge.metrics import EdgeMetrics
from antiphon.edge.releases import Releases
from antiphon.edge.service import build_media_plane
from antiphon.edge.sessions import SessionBook

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "metrics.md"
COUNTERS = ROOT / "services" / "antiphon" / "edge" / "counters.py"
_CRATES = ROOT / "services" / "media-plane" / "crates"
_COUNTED_BY_SHARDS_AND_LINKS = (_CRATES / "runtime/src/counters.rs", _CRATES / "link/src/counters.rs")
_COUNTED_BY_SESSIONS = _CRATES / "engine/src/stats.rs"
_BLOCK = re.compile(r"^(?:antiphon_link::)?counters! \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_COUNTER = re.compile(r"^ +/// (?P<meaning>.+)\n +(?P<name>[a-z0-9_]+),$", re.MULTILINE)

EVERY = "every service"
_SHOWN_BY = {
    "signaling": "signaling",
    "access": "signaling",
    "placement": "signaling",
    "edge": "edge",
    "worker": "worker",
    "turns": "worker",
    "assistant": "worker",
    "agents": "worker",
}
"""Who shows the metrics of a folder; those of the others are shown by every service."""
_LEFT_OUT = tuple(
    f"antiphon.{name}"
    for name in ("cli", "testing", "voices", "wire", "client", "recordings")  # extras may be missing
)
_UNITS = {"seconds": "seconds", "ms": "milliseconds", "bytes": "bytes", "ratio": "ratio", "windows": "windows"}
_STATES = ("up", "connected", "overloaded", "draining")


@dataclass(frozen=True, order=True)
class Row:
    """One metric as Prometheus names it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def unit(self) -> str:
        last = self.name.removesuffix("_total").rpartition("_")[2]
        return _UNITS.get(last, "1 or 0" if last in _STATES else "count")


@functools.cache
def rows() -> dict[str, list[Row]]:
    """All metrics, by the service that shows them."""
    found: defaultdict[str, set[Row]] = defaultdict(set)
    for module in _modules():
        shown_by = _SHOWN_BY.get(module.split(".")[1], EVERY)
        for value in vars(sys.modules[module]).values():
            if isinstance(value, MetricWrapperBase):
                found[shown_by].add(_row(value))
    found["edge"] |= set(_of_an_edge())
    found["worker"] -= found[EVERY]
    return {service: sorted(found[service]) for service in ("signaling", "edge", "worker", EVERY)}


def counted_by_shards_and_links() -> dict[str, str]:
    """Meaning by name."""
    return {name: meaning for path in _COUNTED_BY_SHARDS_AND_LINKS for name, meaning in _documented(path).items()}


def counted_by_sessions() -> dict[str, str]:
    """Meaning by value of the label `count` of antiphon_edge_session_counts_total."""
    return _documented(_COUNTED_BY_SESSIONS)


def document() -> str:
    """The text of docs/metrics.md."""
    lines = [_HEAD]
    for service, metrics in rows().items():
        lines += [f"\n## {service[0].upper()}{service[1:]}\n", "| name | type | labels | unit | meaning |"]
        lines += ["|---|---|---|---|---|"]
        for row in metrics:
            labels = ", ".join(f"`{label}`" for label in row.labels) or "-"
            lines.append(f"| `{row.name}` | {row.kind} | {labels} | {row.unit} | {_cell(row.meaning)} |")
    lines += ["\n## What ended sessions counted\n", _COUNTS_HEAD]
    lines += [f"| `{name}` | {_cell(meaning)} |" for name, meaning in sorted(counted_by_sessions().items())]
    return "\n".join(lines) + "\n"


def counters() -> str:
    """The text of services/antiphon/edge/counters.py."""
    entries = "".join(
        f'    "{name}": "{meaning}",\n' for name, meaning in sorted(counted_by_shards_and_links().items())
    )
    return f"{_COUNTERS_HEAD}\nMEANINGS = {{\n{entries}}}\n"


def _modules() -> Iterator[str]:
    package = importlib.import_module("antiphon")
    for found in pkgutil.walk_packages(package.__path__, "antiphon."):
        if not found.name.startswith(_LEFT_OUT):
            importlib.import_module(found.name)
            yield found.name


def _documented(path: Path) -> dict[str, str]:
    blocks = _BLOCK.findall(path.read_text(encoding="utf-8"))
    return {found["name"]: found["meaning"] for block in blocks for found in _COUNTER.finditer(block)}


def _row(metric: MetricWrapperBase) -> Row:
    """What prometheus_client keeps of a metric: there is no public way to ask for its labels."""
    kind = str(metric._type)  # noqa: SLF001
    suffix = "_total" if kind == "counter" else ""
    return Row(f"{metric._name}{suffix}", kind, tuple(metric._labelnames), metric._documentation)  # noqa: SLF001


def _of_an_edge() -> Iterator[Row]:
    """Runs a media plane on loopback: what it counts is known when it runs."""
    config = load_config(edge={"port": 0, "tcp_port": 0})
    plane = build_media_plane(config)
    registry = CollectorRegistry()
    metrics = EdgeMetrics(registry)
    counted = counted_by_shards_and_links()  # a new counter is not in counters.py yet, and told by its name
    try:
        metrics.watch(
            plane, SessionBook(), Releases(Cluster(config.redis.url.get_secret_value())), config.edge.capacity
        )
        for collector in metrics.collectors:
            if isinstance(collector, MetricWrapperBase):
                yield _row(collector)
                continue
            for family in collector.collect():
                suffix = "_total" if family.type == "counter" else ""
                labels = tuple(getattr(family, "_labelnames", ()))
                meaning = counted.get(family.documentation, family.documentation)
                yield Row(f"{family.name}{suffix}", family.type, labels, meaning)
    finally:
        metrics.close()
        plane.close()


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


_HEAD = """# Metrics

Every service shows what it counts at `/metrics`: signaling on its own port (8080), edges on `edge.http_port` (4002),
workers on `worker.http_port` (4102). `make metrics-table` writes this table from the code, and a test holds it to it.
Labels are bounded: regions, members of the cluster, agents of the catalogue, and words of the code; no metric has a
session's id. Who accepts OpenMetrics gets exemplars: histograms of turns name the session and the turn that were last
in a bucket.

The process' own figures (`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds`,
`python_gc_...`) are shown too, by the names that Prometheus' client libraries give them.
[Dashboards](dashboards.md) and [alerts](runbooks.md) are made of these metrics."""

_COUNTS_HEAD = """`antiphon_edge_session_counts_total{count="..."}` adds up, when a session ends, what it counted
in its life; packets are RTP packets on the wire, frames are Opus packets handed on.

| count | meaning |
|---|---|"""

_COUNTERS_HEAD = """# ruff: noqa: E501 - a line a counter
\"\"\"What the media plane's counters mean, in the words of the Rust that counts: by `make metrics-table`.\"\"\"
"""


def main() -> None:
    COUNTERS.write_text(counters(), encoding="utf-8")
    DOCUMENT.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
