"""What an edge tells Prometheus: the media plane's counters as they are, sessions, links, and how long set-up takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from antiphon.edge.counters import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.metrics_core import Metric

    from antiphon.edge._media import MediaPlane
    from antiphon.edge.releases import Releases
    from antiphon.edge.sessions import SessionBook

_SETUP_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
_GAP_BUCKETS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0)
_NAME = re.compile(r"[^a-zA-Z0-9_]")
# Reasons come from our own code and the proto; anything else is counted as "other", so that labels stay bounded.
_CLOSE_REASONS = frozenset(
    {"bye", "hangup", "api", "consent", "dtls", "error", "worker", "refused", "drain", "timeout", "moved"}
)
# A session's figures with a unit in their name are measured, not counted.
_MEASURED = ("_ms", "_us", "_ppm", "_loss", "_ratio", "_percent", "_dbov")


class _PlaneCollector(Collector):
    """Reads everything at scrape time, so that nothing is counted twice."""

    def __init__(self, plane: MediaPlane, book: SessionBook, releases: Releases, capacity: int) -> None:
        self._plane = plane
        self._book = book
        self._releases = releases
        self._capacity = capacity

    def collect(self) -> Iterable[Metric]:
        for name, value in sorted(self._plane.counters().items()):
            metric = f"antiphon_edge_{_NAME.sub('_', name)}"
            yield CounterMetricFamily(metric, MEANINGS.get(name, name), value=value)
        tables = GaugeMetricFamily(
            "antiphon_edge_table_entries", "Entries of the media plane's tables.", labels=["table"]
        )
        for table, entries in self._plane.tables().items():
            tables.add_metric([table], entries)
        yield tables
        yield GaugeMetricFamily("antiphon_edge_sessions", "Live sessions.", value=len(self._book))
        yield GaugeMetricFamily("antiphon_edge_capacity", "Most sessions at a time.", value=self._capacity)
        yield GaugeMetricFamily("antiphon_edge_rooms", "Rooms with members.", value=len(self._plane.rooms()))
        yield from self._links()
        queue = self._releases
        yield GaugeMetricFamily(
            "antiphon_edge_releases_waiting", "Ended sessions Redis has not heard of.", value=len(queue)
        )
        yield CounterMetricFamily("antiphon_edge_releases", "Ended sessions that Redis has heard of.", value=queue.done)
        yield CounterMetricFamily(
            "antiphon_edge_release_retries", "Releases that Redis did not take.", value=queue.retries
        )
        yield CounterMetricFamily(
            "antiphon_edge_releases_refused", "Releases of sessions that a newer owner has.", value=queue.refused
        )
        yield CounterMetricFamily(
            "antiphon_edge_releases_given_up", "Releases dropped at the bound.", value=queue.given_up
        )

    def _links(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("antiphon_edge_link_up", "Whether the link to a worker is up.", labels=["worker"])
        rtt = GaugeMetricFamily("antiphon_edge_link_rtt_seconds", "Round trip on a link.", labels=["worker"])
        sessions = GaugeMetricFamily("antiphon_edge_link_sessions", "Sessions on a link.", labels=["worker"])
        workers: Mapping[str, Mapping[str, Any]] = self._plane.workers()
        for worker, state in workers.items():
            up.add_metric([worker], float(bool(state["connected"])))
            sessions.add_metric([worker], float(state["sessions"]))
            if state["rtt_ms"] is not None:
                rtt.add_metric([worker], float(state["rtt_ms"]) / 1000)
        return (up, rtt, sessions)


class EdgeMetrics:
    """Registers an edge's metrics; `close` takes them out again."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        self._requests = Counter(
            "antiphon_edge_control_requests", "Control requests by outcome.", ["method", "outcome"], registry=registry
        )
        self._closed = Counter(
            "antiphon_edge_sessions_closed", "Sessions that ended, by reason.", ["reason"], registry=registry
        )
        self._setup = Histogram(
            "antiphon_edge_setup_seconds",
            "From the offer to a step of the set-up.",
            ["step"],
            buckets=_SETUP_BUCKETS,
            registry=registry,
        )
        self._counted = Counter(
            "antiphon_edge_session_counts",
            "What the sessions that have ended counted: packets, losses, repairs, refusals and all else by its name.",
            ["count"],
            registry=registry,
        )
        self._gaps = Histogram(
            "antiphon_edge_path_gap_seconds",
            "How long no media came while a caller's address changed.",
            buckets=_GAP_BUCKETS,
            registry=registry,
        )
        self._takeovers = Counter(
            "antiphon_edge_takeovers",
            "Sessions that lost their worker (link: it broke), and what came of it: taken, no_worker, ended, "
            "room (the others of its room are at another worker).",
            ["reason", "outcome"],
            registry=registry,
        )
        self._asked = Counter(
            "antiphon_edge_takeover_requests",
            "Workers that were asked to take a session over: accepted, refused, silent, link (it broke).",
            ["outcome"],
            registry=registry,
        )
        self._workerless = Histogram(
            "antiphon_edge_takeover_seconds",
            "How long a session that was taken over had no worker, from when that was noticed.",
            buckets=_GAP_BUCKETS,
            registry=registry,
        )
        self.collectors: list[Collector] = [
            self._requests,
            self._closed,
            self._setup,
            self._counted,
            self._gaps,
            self._takeovers,
            self._asked,
            self._workerless,
        ]

    def watch(self, plane: MediaPlane, book: SessionBook, releases: Releases, capacity: int) -> None:
        """capacity: most sessions at a time."""
        collector = _PlaneCollector(plane, book, releases, capacity)
        self._registry.register(collector)
        self.collectors.append(collector)

    def answered(self, method: str, outcome: str) -> None:
        self._requests.labels(method, outcome).inc()

    def closed(self, reason: str, setup_us: Mapping[str, int], quality: Mapping[str, float]) -> None:
        """quality: counts, which are added up, and measurements, which are not."""
        self._closed.labels(reason if reason in _CLOSE_REASONS else "other").inc()
        for step, microseconds in setup_us.items():
            self._setup.labels(step).observe(microseconds / 1e6)
        for name, value in quality.items():
            if not name.endswith(_MEASURED) and value > 0:
                self._counted.labels(name).inc(value)

    def takeover(self, reason: str, outcome: str) -> None:
        """A session that had lost its worker has another one, or will have none."""
        self._takeovers.labels(reason, outcome).inc()

    def asked(self, outcome: str) -> None:
        self._asked.labels(outcome).inc()

    def taken_over(self, gap_s: float) -> None:
        """gap_s: seconds without a worker."""
        self._workerless.observe(gap_s)

    def moved(self, gap_s: float) -> None:
        """gap_s: seconds in which no media came, what the caller's encoder left out included."""
        self._gaps.observe(gap_s)

    def close(self) -> None:
        while self.collectors:
            self._registry.unregister(self.collectors.pop())
