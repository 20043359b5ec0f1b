"""Chromium: everything that browsers are asked, and a call whose network changes under it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.interop import talk
from tests.interop.browsers import chromium
from tests.interop.world import cable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.browsers import Page
    from tests.interop.facts import Facts
    from tests.interop.world import World

_PATIENCE = 40.0


def run(world: World, facts: Facts) -> None:
    with world.caller.entered(), chromium(world.url) as page:
        facts.version = page.version
        talk.set_up(world, page, facts)
        talk.repeats(world, page, facts)
        talk.lossy(world, page, facts, repair=True)
        talk.lossy(world, page, facts, repair=False)
        talk.over_tcp(world, page, facts)
        _network_changes(world, page, facts)


def _network_changes(world: World, page: Page, facts: Facts) -> None:
    """The cable in use is pulled, with another there; the path in use swallows everything; the only one is replaced."""
    cut = "loss=100%"
    with cable(world, 2, "eth1", metric=10), cable(world, 3, "wlan0", metric=20):
        world.path.both(cut)
        pull = {"10.77.2.2": "eth1", "10.77.3.2": "wlan0"}
        _change(
            world,
            page,
            facts,
            "cable pulled, another there",
            lambda own: world.caller.ip("link", "set", pull[own], "down"),
        )
    world.path.both(talk.PERFECT)
    with cable(world, 3, "wlan0", metric=200):
        _change(world, page, facts, "path cut unseen, Wi-Fi there", lambda _: world.path.both(cut))
    with ExitStack() as stack:

        def replace(_: str) -> None:
            world.path.both(cut)
            stack.enter_context(cable(world, 3, "wlan0", metric=20))

        _change(world, page, facts, "path cut, Wi-Fi appears at once", replace)


def _change(world: World, page: Page, facts: Facts, what: str, happens: Callable[[str], object]) -> None:
    """happens: is told the caller's address."""
    with talk.called(world, page, "echo", loop=True) as call:
        time.sleep(4.0)
        before = call.edge()
        happens(before["remote"].rsplit(":", 1)[0])
        moved = talk.wait_for(lambda: call.edge()["remote"] not in {before["remote"], None}, _PATIENCE)
        time.sleep(3.0)
        after = call.edge()
        gap = longest_gap(page.ask("arrivals"))
        facts.add(f"{what}: media moved", f"{before['remote']} to {after['remote']}", wanted=moved)
        facts.add(f"{what}: nothing came to the page for", f"{gap:.0f} ms")
        facts.add(f"{what}: nothing came to the edge for", edges_gap(after["quality"]))


def edges_gap(quality: dict[str, float]) -> str:
    """The edge's own measure: from the last packet of the path before to the first of the path after."""
    gap = quality.get("path_gap_ms")
    return "not told" if gap is None else f"{gap:.0f} ms"


def longest_gap(arrivals: list[list[float]]) -> float:
    """Milliseconds in which the count of packets did not grow."""
    longest, since, count = 0.0, 0.0, -1.0
    for at, received in arrivals:
        if received != count:
            longest = max(longest, at - since) if count > 0 else longest
            since, count = at, received
    return max(longest, arrivals[-1][0] - since) if arrivals else longest
