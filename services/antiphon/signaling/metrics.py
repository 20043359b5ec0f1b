"""What signaling counts. Labels are bounded: regions of live edges, outcomes and reasons of this code."""

from antiphon import telemetry

PLACEMENTS = telemetry.counter(
    "signaling_placements",
    "Sessions that were asked for, by the region that got them and outcome.",
    ["region", "outcome"],
)
WITHOUT_REDIS = telemetry.counter(
    "signaling_without_redis",
    "Sessions placed while Redis was away: placed, and then written, stale (moved meanwhile) or given_up (too many).",
    ["outcome"],
)
MOVES = telemetry.counter(
    "signaling_moves",
    "Sessions that were given another edge: theirs was lost to the caller, left, or another better (rebalanced).",
    ["why"],
)
REBALANCED = telemetry.counter(
    "signaling_rebalance_orders",
    "Sessions that rebalancing would move: asked to, or not: stale (it had changed), rate (too many a minute).",
    ["outcome"],
)
REBALANCE_STAYS = telemetry.gauge(
    "signaling_rebalance_stays",
    "Live sessions that rebalancing leaves where they are, as of its last look, by reason.",
    ["reason"],
)
SETUP_SECONDS = telemetry.histogram(
    "signaling_setup_seconds", "Time of a session's set-up at signaling, by step.", ["step"]
)
REFUSALS = telemetry.counter("signaling_refusals", "Requests that were refused, by reason.", ["reason"])
TOKEN_REFUSALS = telemetry.counter("signaling_token_refusals", "Session tokens not accepted, by reason.", ["reason"])
RATE_REFUSALS = telemetry.counter(
    "signaling_rate_refusals", "Requests over a rate, by whose it is: address, key, subject, tokens.", ["whose"]
)
EDGE_CALLS = telemetry.counter(
    "signaling_edge_calls", "Calls to edges' control, by method and status.", ["method", "status"]
)
EVENT_LISTENERS = telemetry.gauge("signaling_event_listeners", "Open streams of events at this node.")
RECORDING_READS = telemetry.counter(
    "signaling_recording_reads", "Tracks of recordings that were asked for, by how they are given: file, link.", ["how"]
)
WEBHOOK_ATTEMPTS = telemetry.counter(
    "signaling_webhook_attempts",
    "Requests to receivers of webhooks, by outcome: delivered, refused, redirect, gone, timeout, unreachable.",
    ["endpoint", "outcome"],
)
WEBHOOK_DROPS = telemetry.counter(
    "signaling_webhook_drops",
    "Events that a receiver will not hear of, by reason: too_old, gone, not_kept (some: how many is not known).",
    ["endpoint", "reason"],
)
WEBHOOKS_UNDER_WAY = telemetry.gauge(
    "signaling_webhooks_under_way",
    "Events that this node has taken and not delivered yet, by whose Redis told of them.",
    ["endpoint", "region"],
)
