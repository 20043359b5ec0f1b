"""Placement and Redis: who is refused and why, how long set-up takes at signaling, whether leases are kept."""

from deploy.grafana.model import REGION, Dashboard, Panel, Section, cpu, gauge, quantiles, query, rate

DASHBOARD = Dashboard(
    uid="antiphon-placement",
    title="Antiphon / Placement and Redis",
    description="Who is placed where, who is refused and why, and whether Redis answers.",
    variables=(REGION,),
    sections=(
        Section(
            "Placement",
            (
                Panel(
                    "Sessions placed, by region",
                    "A second, by the region that got them.",
                    "ops",
                    (rate("antiphon_signaling_placements_total", '{outcome="placed", region=~"$region"}', "region"),),
                    stacked=True,
                ),
                Panel(
                    "Sessions not placed",
                    "A second, by why.",
                    "ops",
                    (rate("antiphon_signaling_placements_total", '{outcome!="placed"}', "outcome"),),
                    stacked=True,
                ),
                Panel(
                    "Requests refused",
                    "A second, by the problem's code.",
                    "ops",
                    (rate("antiphon_signaling_refusals_total", by="reason"),),
                    stacked=True,
                ),
                Panel(
                    "Set-up at signaling, p90 by step",
                    "Reading membership, claiming the slot, asking the edge.",
                    "s",
                    tuple(quantiles("antiphon_signaling_setup_seconds", "", "step", (0.9,))),
                ),
                Panel(
                    "Calls to edges",
                    "A second, by method and status.",
                    "ops",
                    (rate("antiphon_signaling_edge_calls_total", by="method, status"),),
                ),
                Panel(
                    "CPU of signaling",
                    "Cores that each node uses.",
                    "short",
                    (cpu("signaling"),),
                ),
            ),
        ),
        Section(
            "Redis",
            (
                Panel(
                    "Calls",
                    "A second, by function.",
                    "ops",
                    (rate("antiphon_cluster_call_seconds_count", by="function"),),
                ),
                Panel(
                    "Time of a call",
                    "p50, p90 and p99 over all functions, as the services see it.",
                    "s",
                    tuple(quantiles("antiphon_cluster_call_seconds", "")),
                ),
                Panel(
                    "Calls without an answer",
                    "A second, by function and reason.",
                    "ops",
                    (rate("antiphon_cluster_call_failures_total", by="function, reason"),),
                ),
            ),
        ),
        Section(
            "Leases",
            (
                Panel(
                    "Leases that are renewed",
                    "1 while a member renews its lease.",
                    "short",
                    (gauge("antiphon_cluster_connected", by="member"),),
                    most=1,
                ),
                Panel(
                    "Leases lost and found",
                    "Changes of that in ten minutes: a lease that comes and goes is a Redis or a network that does.",
                    "short",
                    (query("changes(antiphon_cluster_connected[10m])", "{{member}}"),),
                ),
                Panel(
                    "Ended sessions that Redis has not heard of",
                    "They wait at edges for as long as Redis is away.",
                    "short",
                    (gauge("antiphon_edge_releases_waiting", '{region=~"$region"}'),),
                ),
            ),
        ),
    ),
)
