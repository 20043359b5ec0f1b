"""Who may call what: the table that the gate reads, docs/security.md shows, and a test compares with the routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Right = Literal["token", "key", "operator"]
"""The least that is needed: a session token with the grants for it, an API key of the project, an operator's key."""

RIGHTS: Mapping[tuple[str, str], Right] = {
    ("POST", "/v1/sessions"): "token",
    ("GET", "/v1/sessions"): "token",
    ("GET", "/v1/sessions/{session}"): "token",
    ("GET", "/v1/sessions/{session}/turns"): "token",
    ("GET", "/v1/sessions/{session}/recording"): "key",
    ("GET", "/v1/sessions/{session}/recording/{part}/{track}"): "key",
    ("DELETE", "/v1/sessions/{session}/recording"): "key",
    ("PATCH", "/v1/sessions/{session}"): "token",
    ("POST", "/v1/sessions/{session}:move"): "token",
    ("DELETE", "/v1/sessions/{session}"): "token",
    ("GET", "/v1/rooms"): "key",
    ("GET", "/v1/rooms/{room}"): "key",
    ("PATCH", "/v1/rooms/{room}/members/{session}"): "key",
    ("DELETE", "/v1/rooms/{room}/members/{session}"): "key",
    ("GET", "/v1/events"): "key",
    ("GET", "/v1/edges"): "token",
    ("GET", "/v1/workers"): "key",
    ("GET", "/v1/agents"): "token",
    ("GET", "/v1/regions"): "token",
    ("POST", "/v1/placements:explain"): "key",
    ("GET", "/v1/placements:rebalance"): "operator",
    ("POST", "/v1/tokens"): "key",
    ("POST", "/v1/edges/{edge}:drain"): "operator",
    ("POST", "/v1/edges/{edge}:undrain"): "operator",
    ("POST", "/v1/workers/{worker}:drain"): "operator",
    ("POST", "/v1/workers/{worker}:undrain"): "operator",
}


def right_to(method: str, path: str) -> Right:
    """What a route needs, by its path with names in braces. One that the table forgets is an operator's."""
    return RIGHTS.get((method, path), "operator")
