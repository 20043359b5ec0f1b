"""The worker's counters. Labels are bounded: reasons are words of this code, agents come from the catalogue."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

LINKS = Gauge("antiphon_worker_links", "Edges that are linked.")
SESSIONS = Gauge("antiphon_worker_sessions", "Live sessions.", ["agent"])
SESSIONS_ENDED = Counter("antiphon_worker_sessions_ended", "Sessions that ended.", ["reason"])
REFUSED = Counter("antiphon_worker_refused", "Links and sessions refused.", ["reason"])
FRAMES_IN = Counter("antiphon_worker_frames_in", "Frames of callers.")
FRAMES_OUT = Counter("antiphon_worker_frames_out", "Frames for callers.")
DROPPED = Counter("antiphon_worker_dropped", "What was dropped, and why.", ["what", "reason"])
EDGE_DROPPED = Counter("antiphon_worker_edge_dropped_frames", "Frames an edge dropped because this worker fell behind.")
MESSAGES = Counter("antiphon_worker_link_messages", "Messages on media streams.", ["direction"])
LINK_RTT = Gauge("antiphon_worker_link_rtt_seconds", "Round trip of the link's pings.", ["edge"])
TURNS = Counter("antiphon_worker_turns", "Turns of callers.", ["state"])
UTTERANCES = Counter("antiphon_worker_utterances", "Utterances of agents.", ["state"])
AGENT_ERRORS = Counter("antiphon_worker_agent_errors", "Exceptions that ended a session.", ["agent"])
LOOP_HELD = Counter("antiphon_worker_loop_held", "Times that something held the event loop.")
LOOP_HELD_SECONDS = Histogram("antiphon_worker_loop_held_seconds", "How long it did.", buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5))
CREDIT_WAIT_SECONDS = Counter("antiphon_worker_credit_wait_seconds", "Time that agents waited for playout credit.")


def dropped(what: str, reason: str, count: int = 1) -> None:
    DROPPED.labels(what, reason).inc(count)
