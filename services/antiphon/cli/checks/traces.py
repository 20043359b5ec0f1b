"""Whether traces are sent, as each role would do it."""

from __future__ import annotations

from antiphon.cli.checks.check import Check, failure, ok
from antiphon.errors import ConfigError
from antiphon.spans import asked_for, configured


def check_traces() -> list[Check]:
    """By the environment."""
    if not asked_for():
        return [ok("traces", "not asked for: OTEL_EXPORTER_OTLP_ENDPOINT is not set, or OpenTelemetry is switched off")]
    try:
        configured("doctor", "doctor").close()
    except ConfigError as error:
        return [failure("traces", str(error), "The role does not start.", "Install it, or take the variable away.")]
    return [ok("traces", "sent to a collector, by OpenTelemetry")]
