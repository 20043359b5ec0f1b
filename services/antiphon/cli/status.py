"""`antiphon status`: what a cluster has and carries, and whether it can take another call, by its HTTP API alone."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from antiphon.cli.services import FAILED, until_signal
from antiphon.cli.tables import drain_in_words, table, used
from antiphon.client.api import Api
from antiphon.client.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Member = dict[str, Any]
Level = Literal["ok", "warning", "failure"]
_CLEAR = "\x1b[H\x1b[2J"
_FULL = 0.9


@dataclass(frozen=True)
class Wish:
    """The command's options. `every` is in seconds."""

    url: str
    token: str | None = None
    watch: bool = False
    every: float = 2.0
    as_json: bool = False


@dataclass(frozen=True)
class Finding:
    """Something of the cluster's health, in words."""

    level: Level
    what: str


@dataclass(frozen=True)
class Status:
    """Edges and workers as the API tells of them, at one moment."""

    edges: Sequence[Member]
    workers: Sequence[Member]
    regions_away: Sequence[str] = ()
    """Regions whose own Redis does not answer, `all` for that of the others."""

    @property
    def takes_calls(self) -> bool:
        """Whether there is an edge and a worker with a place for another call."""
        return any(map(_has_place, self.edges)) and any(map(_has_place, self.workers))

    @property
    def regions(self) -> list[Member]:
        """Sums of each region's edges: all their calls, and the capacity of those that take new ones."""
        return [
            {
                "name": name,
                "edges": len(edges),
                "draining": sum(edge["draining"] for edge in edges),
                "sessions": sum(edge["sessions"] for edge in edges),
                "capacity": sum(edge["capacity"] for edge in edges if not edge["draining"]),
                "takes_calls": any(map(_has_place, edges)),
            }
            for name, edges in _by_region(self.edges)
        ]

    @property
    def findings(self) -> list[Finding]:
        """The worst first. Never empty: where nothing is wrong, one says so."""
        found = [
            Finding("failure", f"no {kind} can take a call: {_why_not(kind, members)}")
            for kind, members in (("edge", self.edges), ("worker", self.workers))
            if not any(map(_has_place, members))
        ]
        if any(map(_has_place, self.edges)):
            found += [
                Finding("warning", f"region {name} takes no new calls: {_why_not('edge', edges)}")
                for name, edges in _by_region(self.edges)
                if not any(map(_has_place, edges))
            ]
        found += [
            Finding("warning", f"{one['id']} is nearly full: {used(one)} of its places are taken")
            for one in (*self.edges, *self.workers)
            if _has_place(one) and one["sessions"] >= _FULL * one["capacity"]
        ]
        found += [
            Finding("warning", f"the Redis of {_whose(name)} does not answer: its edges take no new calls")
            for name in self.regions_away
        ]
        taking = {agent for one in self.workers if not one["draining"] for agent in one["agents"]}
        leaving = {agent for one in self.workers for agent in one["agents"]} - taking
        found += [Finding("warning", f"agent {name} has only workers that drain") for name in sorted(leaving)]
        return found or [Finding("ok", "new calls find an edge and a worker")]

    def document(self) -> dict[str, Any]:
        """For --json."""
        return {
            "takes_calls": self.takes_calls,
            "sessions": sum(edge["sessions"] for edge in self.edges),
            "findings": [asdict(finding) for finding in self.findings],
            "regions": self.regions,
            "regions_away": list(self.regions_away),
            "edges": list(self.edges),
            "workers": list(self.workers),
        }


async def show_status(wish: Wish) -> int:
    """Returns the exit code, with --watch that of the last look: 1 where nothing can take a call, or nobody answers."""
    api = Api(wish.url, wish.token, timeout=10.0)
    code = FAILED

    async def looks() -> None:
        nonlocal code
        code = await _look(api, wish)
        while wish.watch:
            await asyncio.sleep(wish.every)
            code = await _look(api, wish)

    try:
        await until_signal(looks(), lambda _: None)
    finally:
        await api.close()
    return code


async def _look(api: Api, wish: Wish) -> int:
    try:
        edges, workers, away = await asyncio.gather(api.edges(), api.workers(), api.regions_away())
    except CallError as error:
        print(f"antiphon: {error}", file=sys.stderr, flush=True)
        return FAILED
    status = Status(edges, workers, away)
    if wish.as_json:
        print(json.dumps(status.document(), indent=None if wish.watch else 2), flush=True)
    else:
        fresh = _CLEAR if wish.watch and sys.stdout.isatty() else ""
        print(fresh + in_words(status) + ("\n" if wish.watch and not fresh else ""), flush=True)
    return 0 if status.takes_calls else FAILED


def in_words(status: Status) -> str:
    """Health first, then a table each of regions, edges and workers."""
    regions, edges, workers = status.regions, status.edges, status.workers
    live = sum(edge["sessions"] for edge in edges)
    lines = [f"{finding.level:<8} {finding.what}" for finding in status.findings]
    lines += ["", f"{live} live call{'s' * (live != 1)}", ""]
    lines += table(
        ("region", "edges", "calls"), [(one["name"], str(one["edges"]), _of(one)) for one in regions], "no region"
    )
    lines += ["", *table(("edge", "region", "calls", "state"), [_edge(one) for one in edges], "no edge")]
    lines += ["", *table(("worker", "calls", "state", "agents"), [_worker(one) for one in workers], "no worker")]
    return "\n".join(lines)


def _whose(region: str) -> str:
    return "regions without one of their own" if region == "all" else f"region {region}"


def _edge(one: Member) -> tuple[str, ...]:
    return one["id"], one["region"], _of(one), drain_in_words(one)


def _worker(one: Member) -> tuple[str, ...]:
    return one["id"], _of(one), drain_in_words(one), ", ".join(one["agents"])


def _of(one: Mapping[str, Any]) -> str:
    return f"{one['sessions']} of {one['capacity']}"


def _has_place(one: Mapping[str, Any]) -> bool:
    return not one["draining"] and bool(one["sessions"] < one["capacity"])


def _by_region(edges: Sequence[Member]) -> list[tuple[str, list[Member]]]:
    ordered = sorted(edges, key=lambda edge: str(edge["region"]))
    return [(name, list(group)) for name, group in groupby(ordered, key=lambda edge: str(edge["region"]))]


def _why_not(kind: str, members: Sequence[Member]) -> str:
    draining = sum(one["draining"] for one in members)
    if not members:
        return f"no {kind} lives that this key may see" if kind == "worker" else "none lives"
    full = len(members) - draining
    return ", ".join(f"{number} {word}" for number, word in ((draining, "draining"), (full, "full")) if number)
