"""Regions with a Valkey each, and clusters over them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from antiphon.cluster import Cluster
from antiphon.cluster.embedded import EmbeddedValkey
from tests.support.members import edge, kept, worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.cluster import EdgeRecord

NAMES = ("frankfurt", "tokyo")


class Regions:
    """A Valkey for each region, and a common one."""

    def __init__(self, common: EmbeddedValkey, own: dict[str, EmbeddedValkey]) -> None:
        self.common = common
        self.own = own

    @property
    def settings(self) -> dict[str, Any]:
        """As the configuration's `redis`."""
        return {"url": self.common.url, "regions": {name: valkey.url for name, valkey in self.own.items()}}

    def cluster(self, region: str = "", **times: Any) -> Cluster:
        return Cluster(
            self.common.url, regions={name: valkey.url for name, valkey in self.own.items()}, region=region, **times
        )


@asynccontextmanager
async def regions() -> AsyncIterator[Regions]:
    async with AsyncExitStack() as stack:
        common = await stack.enter_async_context(EmbeddedValkey())
        own = {name: await stack.enter_async_context(EmbeddedValkey()) for name in NAMES}
        yield Regions(common, own)


def edge_f(**changes: Any) -> EdgeRecord:
    return edge("edge-f", region="frankfurt", **changes)


def edge_t(**changes: Any) -> EdgeRecord:
    return edge("edge-t", region="tokyo", latitude=35.68, longitude=139.69, **changes)


@asynccontextmanager
async def everybody(there: Regions, *edges: EdgeRecord) -> AsyncIterator[None]:
    """An edge in each region and a worker are there."""
    async with there.cluster() as cluster, kept(cluster, *(edges or (edge_f(), edge_t())), worker()):
        yield
