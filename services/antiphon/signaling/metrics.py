"""What signaling counts. Labels are bounded: regions of live edges, outcomes and reasons of this code."""

from antiphon import telemetry

PLACEMENTS = telemetry.counter(
    "signaling_placements",
    "Sessions that were asked for, by the region that got them and outcome.",
    ["region", "outcome"],
)
SETUP_SECONDS = telemetry.histogram(
    "signaling_setup_seconds", "Time of a session's set-up at signaling, by step.", ["step"]
)
REFUSALS = telemetry.counter("signaling_refusals", "Requests that were refused, by reason.", ["reason"])
EDGE_CALLS = telemetry.counter(
    "signaling_edge_calls", "Calls to edges' control, by method and status.", ["method", "status"]
)
