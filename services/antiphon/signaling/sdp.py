"""The little of SDP that signaling reads itself; offers are parsed and judged by the edge."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# ice-char of RFC 8839, section 5.4
_UFRAG = re.compile(r"^a=ice-ufrag:([A-Za-z0-9+/]{4,256})\s*$", re.MULTILINE)


def ice_ufrag(text: str) -> str | None:
    """The first ICE user name fragment of an offer or a fragment."""
    match = _UFRAG.search(text)
    return match.group(1) if match else None


_WITHOUT_SENDING = {"sendrecv": "recvonly", "sendonly": "inactive", "recvonly": "recvonly", "inactive": "inactive"}
_WITHOUT_RECEIVING = {"sendrecv": "sendonly", "sendonly": "sendonly", "recvonly": "inactive", "inactive": "inactive"}


def hearing_nothing(offer: str) -> str:
    """The offer as if its author wanted to be sent no audio: an edge then sends none, whatever the author does.

    Each audio section's direction loses its receiving half (RFC 8866, section 6.7). It holds for as long as the session
    lives, since an offer is answered once.
    """
    return _with_directions(offer, _WITHOUT_RECEIVING)


def saying_nothing(offer: str) -> str:
    """Likewise, as if its author were to send no audio: an edge then drops what comes."""
    return _with_directions(offer, _WITHOUT_SENDING)


def _with_directions(offer: str, left: Mapping[str, str]) -> str:
    """left: what is left of each direction."""
    parts: list[list[str]] = [[]]
    for line in offer.split("\n"):
        if line.startswith("m="):
            parts.append([])
        parts[-1].append(line)
    overall = next(filter(None, map(_direction, parts[0])), "sendrecv")
    return "\n".join(
        line
        for part in parts
        for line in (_with_direction(part, overall, left) if part and part[0].startswith("m=audio") else part)
    )


def _with_direction(section: list[str], overall: str, left: Mapping[str, str]) -> list[str]:
    direction = next(filter(None, map(_direction, section)), overall)
    kept = [line for line in section if not _direction(line)]
    at = len(kept) - (kept[-1] == "")  # what the last line break left
    return [*kept[:at], f"a={left[direction]}\r", *kept[at:]]


def _direction(line: str) -> str | None:
    """Reads as leniently as an edge does: the name up to a colon, with white space around it."""
    if not line.startswith("a="):
        return None
    name = line.removeprefix("a=").partition(":")[0].strip()
    return name if name in _WITHOUT_RECEIVING else None
