"""One session by its id: no metric has ids, so its record and its turns are read from Antiphon's API."""

from deploy.grafana.model import SESSION, Dashboard, Panel, Rows, Section

_SESSION = "/v1/sessions/${session}"


def _table(
    title: str,
    description: str,
    path: str,
    root: str,
    columns: tuple[tuple[str, str, str], ...],
    width: int = 24,
    height: int = 7,
    unit: str = "none",
) -> Panel:
    """Rows of the API's answer: see `Rows`."""
    rows = Rows(path, root, columns)
    return Panel(title, description, unit, kind="table", width=width, height=height, rows=rows)


DASHBOARD = Dashboard(
    uid="antiphon-session",
    title="Antiphon / Session",
    description="One call by its session id: where it was placed and why, its turns, its quality. Read from the API.",
    variables=(SESSION,),
    api=True,
    sections=(
        Section(
            "Session",
            (
                _table(
                    "Where it is",
                    "The session's record, for as long as Redis keeps it.",
                    _SESSION,
                    "",
                    (
                        ("state", "state", "string"),
                        ("reason", "ended by", "string"),
                        ("agent", "agent", "string"),
                        ("region", "region", "string"),
                        ("edge", "edge", "string"),
                        ("worker", "worker", "string"),
                        ("created_ms", "began", "timestamp_epoch"),
                        ("ended_ms", "ended", "timestamp_epoch"),
                    ),
                    height=4,
                ),
                _table(
                    "Edges considered",
                    "Every candidate, whether it was chosen, and why.",
                    _SESSION,
                    "placement.edges",
                    (
                        ("id", "edge", "string"),
                        ("region", "region", "string"),
                        ("chosen", "chosen", "boolean"),
                        ("why", "why", "string"),
                    ),
                    width=12,
                ),
                _table(
                    "Set-up",
                    "From the offer to each step, in microseconds.",
                    _SESSION,
                    "setup_us",
                    (
                        ("answer", "answered", "number"),
                        ("first_check", "first check", "number"),
                        ("nominated", "nominated", "number"),
                        ("dtls", "DTLS", "number"),
                        ("first_packet", "first packet", "number"),
                        ("first_frame_out", "first frame out", "number"),
                    ),
                    unit="µs",
                    width=12,
                ),
            ),
        ),
        Section(
            "Turns",
            (
                _table(
                    "Turns",
                    "Each turn, how it ended, and how long the caller waited for the answer, in milliseconds.",
                    f"{_SESSION}/turns",
                    "turns",
                    (
                        ("turn", "turn", "number"),
                        ("outcome", "outcome", "string"),
                        ("ended_by", "ended by", "string"),
                        ("started_ms", "began", "number"),
                        ("ended_ms", "ended", "number"),
                        ("response_ms", "answered after", "number"),
                    ),
                    unit="ms",
                    height=9,
                ),
            ),
        ),
        Section(
            "Quality",
            (
                _table(
                    "Path",
                    "Round trip, jitter and loss of the session's path, at its end.",
                    _SESSION,
                    "quality",
                    (
                        ("rtt_ms", "round trip, ms", "number"),
                        ("jitter_ms", "jitter, ms", "number"),
                        ("loss_before_repair_ratio", "loss before repair", "number"),
                        ("loss_after_repair_ratio", "loss after repair", "number"),
                        ("underruns", "ran dry", "number"),
                        ("path_changes", "address changes", "number"),
                    ),
                    height=4,
                ),
            ),
        ),
    ),
)
