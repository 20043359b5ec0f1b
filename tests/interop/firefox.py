"""Firefox: everything that browsers are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.interop import talk
from tests.interop.browsers import firefox

if TYPE_CHECKING:
    from tests.interop.facts import Facts
    from tests.interop.world import World


def run(world: World, facts: Facts) -> None:
    with world.caller.entered(), firefox(world.url) as page:
        facts.version = page.version
        talk.set_up(world, page, facts)
        talk.repeats(world, page, facts)
        talk.lossy(world, page, facts, repair=True)
        talk.over_tcp(world, page, facts)
