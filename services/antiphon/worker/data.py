"""Messages on the caller's data channel "antiphon": the proto3 JSON of proto/antiphon/data/v1, one key each."""

from __future__ import annotations

import json
from typing import Any

LABEL = "antiphon"
TURN_COMMANDS = ("press", "release", "commit", "clear", "manual", "automatic")
MOST_BYTES = 64 * 1024
"""Longer messages fit no data channel."""


class BadMessageError(ValueError):
    """The caller sent what is no ClientMessage."""


def server_message(kind: str, body: dict[str, Any]) -> bytes:
    """`kind` and the keys of `body` in the lowerCamelCase of the proto3 JSON mapping."""
    return json.dumps({kind: body}, separators=(",", ":"), allow_nan=False).encode()


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)


def turn_trace(document: dict[str, Any]) -> dict[str, Any]:
    """A turn's latency trace as the caller hears of it."""
    return {
        "turn": document["turn"],
        "outcome": document["outcome"],
        "endedBy": document["ended_by"],
        "responseMs": document["response_ms"],
        "playedBy": document["played_by"],
        "stages": [
            {"stage": one["stage"], "atMs": one["at_ms"], "tookMs": one["took_ms"]} for one in document["stages"]
        ],
        "marks": document["marks"],
    }


def parse_client_message(payload: bytes) -> tuple[str, Any]:
    """Returns ("app", the application's data), ("turn", one of TURN_COMMANDS) or ("bye", None)."""
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise BadMessageError("no JSON, or nested too deep") from error
    if not isinstance(message, dict) or len(message) != 1:
        raise BadMessageError("expected an object with one key")
    if isinstance(message.get("app"), dict):
        return "app", message["app"].get("data")
    if isinstance(message.get("bye"), dict):
        return "bye", None
    if isinstance(message.get("turn"), dict):
        command = message["turn"].get("command")
        if command not in TURN_COMMANDS:
            raise BadMessageError(f"expected a turn's command to be one of {', '.join(TURN_COMMANDS)}")
        return "turn", command
    raise BadMessageError("expected app, turn or bye")
