"""`antiphon explain`: where a caller would be placed, and why, candidate by candidate."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from antiphon.client.api import Api
from antiphon.client.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Wish:
    """The command's options."""

    url: str
    ip: str | None = None
    region: str | None = None
    agent: str | None = None
    room: str | None = None
    rtts: Mapping[str, float] = field(default_factory=dict)
    token: str | None = None
    as_json: bool = False

    def document(self) -> dict[str, Any]:
        wishes = {"ip": self.ip, "region": self.region, "agent": self.agent, "room": self.room}
        return {**{name: wish for name, wish in wishes.items() if wish is not None}, "rtts": dict(self.rtts)}


def parse_rtts(texts: Sequence[str]) -> dict[str, float]:
    """Reads `frankfurt=12.5` and the like. Raises ValueError with what is wrong and what is right."""
    found = {}
    for text in texts:
        region, _, ms = text.partition("=")
        try:
            found[region] = float(ms)
        except ValueError:
            found[region] = -1.0
        if not region or not 0 <= found[region] <= 10_000:
            raise ValueError(f"--rtt {text!r} is no round trip: expected a region and milliseconds, frankfurt=12.5")
    return found


async def explain(wish: Wish) -> int:
    """Returns the exit code: 0, or 1 when there was no explanation."""
    api = Api(wish.url, wish.token)
    try:
        told = await api.explain(wish.document())
    except CallError as error:
        print(f"antiphon: {error}", file=sys.stderr)
        return 1
    finally:
        await api.close()
    print(json.dumps(told, indent=2) if wish.as_json else in_words(told))
    return 0


def in_words(told: Mapping[str, Any]) -> str:
    """A table of the edges, the best first, and one of the workers."""
    placement = told["placement"]
    evidence = placement["evidence"]
    networks = ", ".join(evidence["networks"])
    lines = [
        f"caller     {evidence['address'] or 'unknown'}" + (f" ({networks})" if networks else ""),
        f"evidence   {placement['caller']}",
        f"placed     {_placed(told)}",
        "",
        *_table("edge", placement["edges"]),
        "",
        *_table("worker", placement["workers"]),
    ]
    return "\n".join(lines)


def _placed(told: Mapping[str, Any]) -> str:
    if told["edge"] is None:
        return "nowhere: no edge can take the session"
    where = f"edge {told['edge']} in {told['region']}"
    return f"{where}, worker {told['worker']}" if told["worker"] else f"{where}, no worker"


def _table(kind: str, candidates: Sequence[Mapping[str, Any]]) -> list[str]:
    if not candidates:
        return [f"no {kind}"]
    width = max(len(kind) + 2, *(len(one["id"]) + 2 for one in candidates))
    lines = [f"{kind:<{width}} {'cost':>9}  why"]
    for one in candidates:
        mark = "* " if one["chosen"] else "  " if one["possible"] else "- "
        cost = f"{one['cost_ms']:.1f} ms" if one["possible"] else "-"
        lines.append(f"{mark + one['id']:<{width}} {cost:>9}  {one['why']}")
    return lines
