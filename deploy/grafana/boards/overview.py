"""Are conversations good, by region: what callers feel, before anything about machines."""

from deploy.grafana.model import AGENT, REGION, Dashboard, Panel, Query, Section, quantile, quantiles, query, rate

_EDGES = '{region=~"$region"}'
_AGENTS = '{agent=~"$agent"}'
_PACKETS = "antiphon_edge_session_counts_total"


def _counted(count: str) -> str:
    return f'sum by (region) (rate({_PACKETS}{{count="{count}", region=~"$region"}}[$__rate_interval]))'


def _share(count: str) -> str:
    """Of the packets that were expected; 0 where none was counted."""
    expected = _counted("expected")
    return f"({_counted(count)} or 0 * {expected}) / ({expected} > 0)"


def _now(
    title: str,
    description: str,
    unit: str,
    figure: Query,
    thresholds: tuple[float, float] | None = None,
    most: float | None = None,
) -> Panel:
    """One figure as it is now: six of them fill a row."""
    return Panel(title, description, unit, (figure,), kind="stat", width=4, height=4, thresholds=thresholds, most=most)


DASHBOARD = Dashboard(
    uid="antiphon-overview",
    title="Antiphon / Overview",
    description="Are conversations good? What callers feel, by region.",
    variables=(REGION, AGENT),
    sections=(
        Section(
            "Now",
            (
                _now("Calls", "Live sessions at edges.", "short", query(f"sum(antiphon_edge_sessions{_EDGES})")),
                _now(
                    "Answer, p90",
                    "From a caller's last sound to the agent's first at the caller's ear, over five minutes.",
                    "s",
                    quantile(0.9, "antiphon_worker_turn_response_seconds", _AGENTS, legend="", over="5m"),
                    thresholds=(1.0, 1.5),
                ),
                _now(
                    "Loss after repair",
                    "Share of callers' packets that never came, over five minutes, as workers saw it.",
                    "percentunit",
                    query("antiphon:caller_loss:ratio_rate5m"),
                    thresholds=(0.005, 0.02),
                ),
                _now(
                    "Set-ups that failed",
                    "Share of sessions that ended before DTLS was up, over five minutes.",
                    "percentunit",
                    query("antiphon:setup_failed:ratio_rate5m"),
                    thresholds=(0.02, 0.1),
                ),
                _now(
                    "Refused",
                    "Share of sessions asked for that found no edge, no worker or no Redis, over five minutes.",
                    "percentunit",
                    query("antiphon:placement_refused:ratio_rate5m"),
                    thresholds=(0.01, 0.05),
                ),
                _now(
                    "Services that answer",
                    "Share of signaling nodes, edges and workers that Prometheus can scrape.",
                    "percentunit",
                    query('avg(up{job=~"antiphon-.*"})'),
                    most=1,
                ),
            ),
        ),
        Section(
            "What callers feel",
            (
                Panel(
                    "How long callers wait for an answer",
                    "From a caller's last sound to the agent's first at the caller's ear. Exemplars lead to sessions.",
                    "s",
                    tuple(quantiles("antiphon_worker_turn_response_seconds", _AGENTS)),
                    width=12,
                    height=8,
                    thresholds=(1.0, 1.5),
                ),
                Panel(
                    "Answers within 1.5 s",
                    "Share of answered turns; the alert AntiphonTurnsSlow holds it to 95 %.",
                    "percentunit",
                    (
                        query("1 - antiphon:turn_slow:ratio_rate5m", "5 min"),
                        query("1 - antiphon:turn_slow:ratio_rate1h", "1 h"),
                    ),
                    width=12,
                    height=8,
                    most=1,
                ),
                Panel(
                    "Loss of callers' packets",
                    "Shares of packets that were expected: before repair and after. Counted as sessions end.",
                    "percentunit",
                    (
                        query(_share("lost"), "before repair {{region}}"),
                        query(_share("given_up"), "after repair {{region}}"),
                    ),
                ),
                Panel(
                    "Silence while a caller's address changes",
                    "How long no media came when callers roamed.",
                    "s",
                    tuple(quantiles("antiphon_edge_path_gap_seconds", _EDGES, shares=(0.5, 0.9))),
                ),
                Panel(
                    "Utterances that ran dry",
                    "Times a second that playout had nothing left in the middle of an utterance: heard as a gap.",
                    "ops",
                    (rate(_PACKETS, '{count="underruns", region=~"$region"}', "region"),),
                ),
            ),
        ),
        Section(
            "Calls",
            (
                Panel(
                    "Calls by region",
                    "Live sessions at edges.",
                    "short",
                    (query(f"sum by (region) (antiphon_edge_sessions{_EDGES})", "{{region}}"),),
                    stacked=True,
                ),
                Panel(
                    "Calls by agent",
                    "Live sessions at workers.",
                    "short",
                    (query(f"sum by (agent) (antiphon_worker_sessions{_AGENTS})", "{{agent}}"),),
                    stacked=True,
                ),
                Panel(
                    "How calls end",
                    "Sessions that ended, a second, by reason.",
                    "ops",
                    (rate("antiphon_edge_sessions_closed_total", _EDGES, "reason"),),
                    stacked=True,
                ),
            ),
        ),
    ),
)
