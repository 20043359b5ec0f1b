"""Members of a cluster for tests: records, and their keeping."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from antiphon.cluster import Cluster, EdgeRecord, WorkerRecord
from antiphon.errors import UnavailableError
from tests.support.tasks import end
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping


def edge(name: str = "edge-a", **changes: Any) -> EdgeRecord:
    values: dict[str, Any] = {
        "id": name,
        "region": "frankfurt",
        "latitude": 50.11,
        "longitude": 8.68,
        "control": "127.0.0.1:4001",
        "media": ("127.0.0.1:4000",),
        "capacity": 100,
    }
    return EdgeRecord(**{**values, **changes})


def worker(name: str = "worker-a", **changes: Any) -> WorkerRecord:
    values: dict[str, Any] = {"id": name, "link": "127.0.0.1:4100", "agents": ("parrot", "echo"), "capacity": 100}
    return WorkerRecord(**{**values, **changes})


@asynccontextmanager
async def kept(
    cluster: Cluster, *records: EdgeRecord | WorkerRecord, sessions: Callable[[], Mapping[str, int]] | None = None
) -> AsyncIterator[None]:
    """The records are in the cluster while the context lasts. `sessions` are those of the first."""

    def keep(record: EdgeRecord | WorkerRecord) -> asyncio.Task[None]:
        return asyncio.create_task(cluster.keep(lambda: record, sessions if record is records[0] else None))

    async def there() -> bool:
        try:
            return {record.id for record in records} <= await members(cluster)
        except UnavailableError:  # the first answer takes a connection, and a busy machine its time
            return False

    tasks = [keep(record) for record in records]
    try:
        await until(there)
        yield
    finally:
        await end(*tasks)


async def members(cluster: Cluster) -> frozenset[str]:
    return (await cluster.members()).ids
