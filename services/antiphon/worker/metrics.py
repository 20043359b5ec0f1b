"""The worker's counters. Labels are bounded: reasons are words of this code, agents come from the catalogue."""

from __future__ import annotations

from antiphon.telemetry import counter, gauge, histogram

STAGE_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0
)  # fmt: skip
"""Seconds, close where a conversation's pauses lie."""

LINKS = gauge("worker_links", "Edges that are linked.")
SESSIONS = gauge("worker_sessions", "Live sessions.", ["agent"])
CAPACITY = gauge("worker_capacity", "Most sessions at a time; as many as there are while this worker hears late.")
OVERLOADED = gauge(
    "worker_overloaded", "1 while over 1 % of voice detection is later than 20 ms: no more sessions are taken."
)
ROOMS = gauge("worker_rooms", "Rooms that have an agent here.")
SESSIONS_ENDED = counter("worker_sessions_ended", "Sessions that ended.", ["reason"])
REFUSED = counter("worker_refused", "Links and sessions refused.", ["reason"])
CHECKPOINTS = counter(
    "worker_checkpoints", "Agents' checkpoints: written, stale (another worker has the session), unread.", ["outcome"]
)
MOVES = counter("worker_moves", "Sessions that came to another edge: their edge was left, or lost.", ["why"])
TAKEOVERS = counter("worker_takeovers", "Sessions taken over from a worker that is lost.")
FRAMES_IN = counter("worker_frames_in", "Frames of callers.")
FRAMES_OUT = counter("worker_frames_out", "Frames for callers.")
CALLER_PACKETS = counter(
    "worker_caller_packets",
    "Packets of callers, as their edges count them: expected, lost, repaired, and how.",
    ["outcome"],
)
MISSING = counter(
    "worker_missing_frames", "Frames that were missing: announced, lost for good, decoded from in-band FEC.", ["state"]
)
GAP_WAITS = counter("worker_turn_gap_waits", "Ends of turns that waited for missing frames, and how.", ["outcome"])
DTMF = counter("worker_dtmf", "DTMF packets and keys.", ["outcome"])
DROPPED = counter("worker_dropped", "What was dropped, and why.", ["what", "reason"])
EDGE_DROPPED = counter("worker_edge_dropped_frames", "Frames an edge dropped because this worker fell behind.")
MESSAGES = counter("worker_link_messages", "Messages on media streams.", ["direction"])
LINK_RTT = gauge("worker_link_rtt_seconds", "Round trip of the link's pings.", ["edge"])
END_ANSWERS = counter(
    "worker_turn_end_answers", "Questions whether a turn is over, and whether a model answered.", ["outcome"]
)
KIND_ANSWERS = counter("worker_sound_answers", "Questions what a caller's sound is, and the answers.", ["kind"])
PARTIALS = counter(
    "worker_partial_transcripts", "Words recognised while they were spoken, and the outcome.", ["outcome"]
)
COMMITS = counter("worker_turn_commits", "Turns of callers that were handed over, by what ended them.", ["reason"])
WITHDRAWN = counter("worker_turns_withdrawn", "Turns taken back, tentative ones too, and why.", ["cause"])
TURNS = counter("worker_turns", "Turns of callers.", ["state"])
UTTERANCES = counter("worker_utterances", "Utterances of agents.", ["state"])
EDGE_HOLDS = counter("worker_edge_holds", "Utterances that an edge held at the caller's voice.")
EDGE_HOLDS_ENDED = counter("worker_edge_holds_ended", "How such holds were answered.", ["outcome"])
STAGE_SECONDS = histogram(
    "worker_turn_stage_seconds",
    "What each stage took between a caller's last sound and the answer (docs/latency.md).",
    ["stage"],
    buckets=STAGE_BUCKETS,
)
RESPONSE_SECONDS = histogram(
    "worker_turn_response_seconds",
    "From a caller's last sound to the agent's first at the caller's ear.",
    ["agent"],
    buckets=STAGE_BUCKETS,
)
TRACED_TURNS = counter(
    "worker_traced_turns", "Turns that an agent was asked to answer, by what came of them.", ["outcome"]
)
RECORDINGS = counter(
    "worker_recordings",
    "Recordings: started, complete, incomplete (ended before their session, or lost some of it), failed, refused.",
    ["outcome"],
)
RECORDING = gauge("worker_recording_sessions", "Sessions that are recorded.")
RECORDED_BYTES = counter("worker_recorded_bytes", "Octets of the tracks of recordings that ended.")
RECORDING_KEEPS = counter(
    "worker_recording_keeps", "Recordings handed to where they are kept: kept, failed (tried again).", ["outcome"]
)
RECORDINGS_SWEPT = counter("worker_recordings_swept", "Parts of recordings deleted, being older than they may be.")
AGENT_ERRORS = counter("worker_agent_errors", "Exceptions that ended a session.", ["agent"])
RELOADS = counter("worker_reloads", "Times that agents' code was loaded again.", ["outcome"])
LOOP_HELD = counter("worker_loop_held", "Times that something held the event loop.")
LOOP_STARVED = counter("worker_loop_starved", "Times that the machine was too busy to wake the event loop in time.")
LOOP_HELD_SECONDS = histogram("worker_loop_held_seconds", "How long it did.", buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5))
CREDIT_WAIT_SECONDS = counter("worker_credit_wait_seconds", "Time that agents waited for playout credit.")


def dropped(what: str, reason: str, count: int = 1) -> None:
    DROPPED.labels(what, reason).inc(count)
