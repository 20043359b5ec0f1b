"""Capacity: how full regions and workers are, what a call costs, and when more will be needed."""

from deploy.grafana.model import REGION, WORKER, Dashboard, Panel, Query, Section, query, rate

_EDGES = '{region=~"$region"}'
_WORKERS = '{instance=~"$worker"}'


def _full(role: str, matchers: str, by: str) -> Query:
    """Share of a role's places that are taken."""
    taken, all_of_them = (f"antiphon_{role}_{what}{matchers}" for what in ("sessions", "capacity"))
    return query(f"sum by ({by}) ({taken}) / sum by ({by}) ({all_of_them})", f"{{{{{by}}}}}")


def _each_call(cost: str, role: str, matchers: str, by: str) -> Query:
    """What processes use for each live session."""
    calls = f"avg_over_time(antiphon_{role}_sessions{matchers}[5m])"
    return query(f"sum by ({by}) ({cost}) / (sum by ({by}) ({calls}) > 0)", f"{{{{{by}}}}}")


DASHBOARD = Dashboard(
    uid="antiphon-capacity",
    title="Antiphon / Capacity",
    description="How full regions and workers are, and what a call costs.",
    variables=(REGION, WORKER),
    sections=(
        Section(
            "Room",
            (
                Panel(
                    "Edges: sessions against capacity",
                    "Share of places taken, by region. Placement avoids full edges; the alert comes at 85 %.",
                    "percentunit",
                    (_full("edge", _EDGES, "region"),),
                    width=12,
                    thresholds=(0.7, 0.85),
                    most=1,
                ),
                Panel(
                    "Workers: sessions against capacity",
                    "Share of places taken, by worker, and of all.",
                    "percentunit",
                    (
                        _full("worker", _WORKERS, "instance"),
                        query(
                            f"sum(antiphon_worker_sessions{_WORKERS}) / sum(antiphon_worker_capacity{_WORKERS})", "all"
                        ),
                    ),
                    width=12,
                    thresholds=(0.7, 0.85),
                    most=1,
                ),
                Panel(
                    "Places left",
                    "Sessions that regions' edges and workers can take.",
                    "short",
                    (
                        query(
                            f"sum by (region) (antiphon_edge_capacity{_EDGES} - antiphon_edge_sessions{_EDGES})",
                            "edges, {{region}}",
                        ),
                        query(
                            f"sum(antiphon_worker_capacity{_WORKERS}) - sum(antiphon_worker_sessions{_WORKERS})",
                            "workers",
                        ),
                    ),
                ),
                Panel(
                    "In four hours, if it goes on like this",
                    "Sessions by region, as the last hour's trend foretells, in percent of capacity.",
                    "percentunit",
                    (
                        query(
                            f"sum by (region) (predict_linear(antiphon_edge_sessions{_EDGES}[1h], 14400)) / "
                            f"sum by (region) (antiphon_edge_capacity{_EDGES})",
                            "{{region}}",
                        ),
                    ),
                ),
                Panel(
                    "Most calls in a day",
                    "The last day's peak of each region.",
                    "short",
                    (
                        query(
                            f"max_over_time(sum by (region) (antiphon_edge_sessions{_EDGES})[1d:15s])",
                            "{{region}}",
                        ),
                    ),
                    kind="bargauge",
                ),
            ),
        ),
        Section(
            "What a call costs",
            (
                Panel(
                    "Edge: CPU a call",
                    "Share of a core for each live session.",
                    "percentunit",
                    (
                        _each_call(
                            'rate(process_cpu_seconds_total{job="antiphon-edge", region=~"$region"}[5m])',
                            "edge",
                            _EDGES,
                            "region",
                        ),
                    ),
                ),
                Panel(
                    "Worker: CPU a call",
                    "Share of a core for each live session, models and agents included.",
                    "percentunit",
                    (
                        _each_call(
                            'rate(process_cpu_seconds_total{job="antiphon-worker", instance=~"$worker"}[5m])',
                            "worker",
                            _WORKERS,
                            "instance",
                        ),
                    ),
                ),
                Panel(
                    "Edge: memory a call",
                    "Resident memory for each live session, the process' own included.",
                    "bytes",
                    (
                        _each_call(
                            'process_resident_memory_bytes{job="antiphon-edge", region=~"$region"}',
                            "edge",
                            _EDGES,
                            "region",
                        ),
                    ),
                ),
            ),
        ),
        Section(
            "What says that it is too much",
            (
                Panel(
                    "Workers that hear late",
                    "Workers that take no more sessions because voice detection is late.",
                    "short",
                    (query(f"sum(antiphon_worker_overloaded{_WORKERS})", "overloaded"),),
                ),
                Panel(
                    "Packets that edges could not take",
                    "Datagrams that the kernel dropped because the socket's buffer was full, a second.",
                    "pps",
                    (rate("antiphon_edge_drop_rxq_overflow_total", _EDGES, "region"),),
                ),
                Panel(
                    "Refused for want of room",
                    "Sessions that found no edge or no worker, a second.",
                    "ops",
                    (rate("antiphon_signaling_placements_total", '{outcome=~"no_edge|no_worker"}', "outcome"),),
                ),
            ),
        ),
    ),
)
