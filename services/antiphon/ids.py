"""Identifiers: a session's id names its region, so that a claim touches one Redis."""

from __future__ import annotations

import re
import secrets

from antiphon.config_auth import DEFAULT_PROJECT

_SESSION = re.compile(r"^ses_([a-z0-9-]{1,32})_([0-9a-z]{20})$")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def scoped_room(project: str, room: str) -> str:
    """A room's name in the cluster and at edges: projects that name their rooms alike do not meet in them."""
    return room if not room or project == DEFAULT_PROJECT else f"{project}/{room}"


def room_name(scoped: str) -> str:
    """The name that its members know a room by."""
    return scoped.rpartition("/")[2]


def room_project(scoped: str) -> str:
    return scoped.rpartition("/")[0] or DEFAULT_PROJECT


def new_session_id(region: str) -> str:
    """Returns `ses_<region>_<100 random bits>`."""
    return f"ses_{region}_" + "".join(_ALPHABET[byte & 31] for byte in secrets.token_bytes(20))


def session_region(session_id: str) -> str | None:
    """Returns the region that a session id names, or None where it is no session id."""
    match = _SESSION.match(session_id)
    return match.group(1) if match else None
