"""The little of SDP that signaling reads itself; offers are parsed and judged by the edge."""

from __future__ import annotations

import re

# ice-char of RFC 8839, section 5.4
_UFRAG = re.compile(r"^a=ice-ufrag:([A-Za-z0-9+/]{4,256})\s*$", re.MULTILINE)


def ice_ufrag(text: str) -> str | None:
    """The first ICE user name fragment of an offer or a fragment."""
    match = _UFRAG.search(text)
    return match.group(1) if match else None
