"""One running cluster for all integration tests of a pytest process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import LocalCluster, Valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENTS = Path(__file__).with_name("agents.py")


@pytest.fixture(scope="session")
def cluster_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """The Valkey under `cluster`; who kills it starts it again."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def cluster(cluster_valkey: Valkey) -> Iterator[LocalCluster]:
    """`antiphon up` with the agents of agents.py; who breaks it waits until it is whole again."""
    with LocalCluster("--redis-url", cluster_valkey.url, "--agents", str(AGENTS), "--shards", "2") as running:
        yield running
