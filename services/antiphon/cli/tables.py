"""Tables and phrases that commands about a cluster's members share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], none: str) -> list[str]:
    """Lines of columns as wide as their widest cell; `none` where there is no row."""
    if not rows:
        return [none]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]


def used(one: Mapping[str, Any]) -> str:
    """How full a member is, in per cent."""
    return f"{100 * one['sessions'] / one['capacity']:.0f} %"


def drain_in_words(one: Mapping[str, Any]) -> str:
    """Whether a member takes calls, or how far its drain is. The time is by Redis's clock."""
    if not one["draining"]:
        return "full" if one["sessions"] >= one["capacity"] else "takes calls"
    drain = one["drain"]
    if drain is None:
        return "draining"
    if not one["sessions"]:
        return "drained: no call is left"
    until = datetime.fromtimestamp(drain["until_ms"] / 1000, UTC)
    gone = max(0, drain["sessions_before"] - one["sessions"])
    return f"draining: {gone} of {drain['sessions_before']} gone, the rest ends at {until:%H:%M:%S} UTC"
