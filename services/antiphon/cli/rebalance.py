"""`antiphon rebalance`: which live calls would be asked to come to another edge, and why the others stay."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from antiphon.cli.tables import table
from antiphon.client.api import Api
from antiphon.client.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORDS = {
    "near_enough": "have no edge that is enough better",
    "moved_lately": "came, or were asked to leave, too lately",
    "cannot_move": "cannot move: members of rooms, and clients without an SDK",
    "no_room": "would be better off at an edge that has no room",
    "edge_unknown": "are at an edge that is not heard of",
    "later": "would gain less than the first hundred",
}


async def show_plan(url: str, token: str | None, *, as_json: bool) -> int:
    """Returns the exit code: 0, or 1 when there was no answer."""
    api = Api(url, token)
    try:
        told = await api.would_rebalance()
    except CallError as error:
        print(f"antiphon: {error}", file=sys.stderr)
        return 1
    finally:
        await api.close()
    print(json.dumps(told, indent=2) if as_json else in_words(told))
    return 0


def in_words(told: Mapping[str, Any]) -> str:
    """What is done with them, a table of those that would move, and a line for each reason to stay."""
    moves = told["moves"]
    does = "are asked, a few a minute" if told["enabled"] else "would be, were placement.rebalance.enabled set"
    lines = [f"{len(moves)} of {told['calls']} live calls are better off elsewhere, and {does}", ""]
    rows = [(one["session"], one["edge"], one["to"], f"{one['gain_ms']:.1f} ms") for one in moves]
    lines += table(("session", "from", "to", "gain"), rows, "no call would move")
    lines += [""] if told["stays"] else []
    return "\n".join([*lines, *(f"{count:>6} {_WORDS.get(reason, reason)}" for reason, count in told["stays"].items())])
