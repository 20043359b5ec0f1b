"""An edge: set-up, packets, drops, links, its own machine."""

from deploy.grafana.model import EDGE, REGION, Dashboard, Panel, Section, cpu, gauge, quantiles, query, rate

_THIS = '{region=~"$region", instance=~"$edge"}'
_DROPS = '{__name__=~"antiphon_edge_drop_.+_total", region=~"$region", instance=~"$edge"}'
_COUNTS = "antiphon_edge_session_counts_total"


def _count(*names: str) -> str:
    return f'{{region=~"$region", instance=~"$edge", count=~"{"|".join(names)}"}}'


DASHBOARD = Dashboard(
    uid="antiphon-edge",
    title="Antiphon / Edge",
    description="What edges carry, what they drop and why, and what it costs.",
    variables=(REGION, EDGE),
    sections=(
        Section(
            "Sessions",
            (
                Panel(
                    "Sessions",
                    "Live sessions of each edge.",
                    "short",
                    (gauge("antiphon_edge_sessions", _THIS),),
                ),
                Panel(
                    "Set-up, p90 by step",
                    "From the offer to each step; set-ups that ended in the interval.",
                    "s",
                    tuple(quantiles("antiphon_edge_setup_seconds", _THIS, "step", (0.9,))),
                ),
                Panel(
                    "Control requests",
                    "Requests of signaling a second, by method and outcome.",
                    "ops",
                    (rate("antiphon_edge_control_requests_total", _THIS, "method, outcome"),),
                ),
            ),
        ),
        Section(
            "Packets",
            (
                Panel(
                    "Datagrams",
                    "Datagrams received and sent a second.",
                    "pps",
                    (
                        rate("antiphon_edge_datagrams_in_total", _THIS, legend="in"),
                        rate("antiphon_edge_datagrams_out_total", _THIS, legend="out"),
                    ),
                ),
                Panel(
                    "Drops of the media plane",
                    "Everything dropped, a second, by counter; docs/metrics.md says what each means.",
                    "pps",
                    (
                        query(
                            f'sum by (reason) (rate(label_replace({_DROPS}, "reason", "$1", "__name__", '
                            '"antiphon_edge_drop_(.+)_total")[$__rate_interval:])) > 0',
                            "{{reason}}",
                        ),
                    ),
                ),
                Panel(
                    "Repair",
                    "Packets of callers that were missing a second, and what became of them. Counted as sessions end.",
                    "pps",
                    (rate(_COUNTS, _count("lost", "repaired_red", "repaired_nack", "late", "given_up"), "count"),),
                ),
                Panel(
                    "Refusals and forgeries",
                    "Packets of sessions that were refused, a second, by why. Counted as sessions end.",
                    "pps",
                    (
                        rate(
                            _COUNTS,
                            _count(
                                "srtp_forged",
                                "srtp_too_old",
                                "unverified",
                                "early",
                                "bad_checks",
                                "rtp_over_rate",
                                "rtcp_over_rate",
                                "malformed",
                                "refused_.*",
                            ),
                            "count",
                        ),
                    ),
                ),
                Panel(
                    "Over TCP and other edges",
                    "Frames over ICE-TCP, and datagrams handed between edges, a second.",
                    "pps",
                    (
                        rate("antiphon_edge_tcp_frames_in_total", _THIS, legend="TCP in"),
                        rate("antiphon_edge_tcp_frames_out_total", _THIS, legend="TCP out"),
                        rate("antiphon_edge_relayed_in_total", _THIS, legend="relayed in"),
                        rate("antiphon_edge_relayed_out_total", _THIS, legend="relayed out"),
                    ),
                ),
                Panel(
                    "Holds",
                    "Playout held at the caller's voice, a second, by what came of it.",
                    "ops",
                    (
                        rate("antiphon_edge_edge_holds_confirmed_total", _THIS, legend="voice"),
                        rate("antiphon_edge_edge_holds_released_total", _THIS, legend="no voice"),
                        rate("antiphon_edge_edge_holds_expired_total", _THIS, legend="no answer in time"),
                    ),
                ),
            ),
        ),
        Section(
            "Links to workers",
            (
                Panel(
                    "Links up",
                    "Links to workers that are up, of those that are known.",
                    "short",
                    (
                        query(f"sum by (instance) (antiphon_edge_link_up{_THIS})", "{{instance}} up"),
                        query(f"count by (instance) (antiphon_edge_link_up{_THIS})", "{{instance}} known"),
                    ),
                ),
                Panel(
                    "Round trip of links",
                    "Pings of each link.",
                    "s",
                    (gauge("antiphon_edge_link_rtt_seconds", _THIS, "instance, worker"),),
                ),
                Panel(
                    "Dropped because a worker fell behind",
                    "Frames, and gaps and playout reports, a second.",
                    "pps",
                    (
                        rate("antiphon_edge_drop_ingest_total", _THIS, legend="frames"),
                        rate("antiphon_edge_drop_reports_total", _THIS, legend="reports"),
                    ),
                ),
            ),
        ),
        Section(
            "Machine",
            (
                Panel(
                    "CPU",
                    "Cores that the edge's process uses.",
                    "short",
                    (cpu("edge", _THIS.strip("{}")),),
                ),
                Panel(
                    "Memory",
                    "Resident memory of the edge's process.",
                    "bytes",
                    (query(f'process_resident_memory_bytes{{job="antiphon-edge", {_THIS[1:]}', "{{instance}}"),),
                ),
                Panel(
                    "Tables",
                    "Entries of the media plane's tables.",
                    "short",
                    (query(f"sum by (table) (antiphon_edge_table_entries{_THIS})", "{{table}}"),),
                ),
            ),
        ),
    ),
)
