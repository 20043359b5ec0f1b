"""Registers a light worker, `antiphon-mirror`, with a cluster, under an agent of the same name, while this runs.

    python -m loadtest.measuring.mirror 127.0.0.1:40123

The cluster is that of the configuration, as a worker of Antiphon's own finds it.
"""

from __future__ import annotations

import sys

import uvloop

from antiphon.cluster import Cluster, WorkerRecord
from antiphon.config import load_config
from loadtest.measuring.servers import MIRROR

_CAPACITY = 100_000


async def register(link: str) -> None:
    """Until it is ended; then its lease runs out. link: host:port that edges dial."""
    record = WorkerRecord(MIRROR, link, (MIRROR,), _CAPACITY)
    async with Cluster.of(load_config(None)) as cluster:
        await cluster.keep(lambda: record)


if __name__ == "__main__":
    uvloop.run(register(sys.argv[1]))
