"""Fixtures for all tests."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

# gRPC would start its threads anew in the child between the fork and the exec of a test's Valkey, where some die on the
# descriptors that are closed there, and the child with them. It reads this when it is first used.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import pytest  # noqa: TC002 - pytest-asyncio reads annotations
import pytest_asyncio
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from antiphon.cluster.embedded import EmbeddedValkey
from antiphon.testing.fixtures import agent_call, agent_room

__all__ = ["agent_call", "agent_room", "valkey"]

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

settings.register_profile("antiphon", deadline=None)  # a busy machine is no failure
settings.load_profile("antiphon")


_WITH_CLUSTERS = ("cluster", "integration")


class ByFolder(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """One by one, but what runs whole clusters to one process: two at once take time from each other's calls."""

    def _split_scope(self, nodeid: str) -> str:
        return "clusters" if nodeid.split("/")[1] in _WITH_CLUSTERS else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    return ByFolder(config, log)


@pytest_asyncio.fixture
async def valkey() -> AsyncIterator[EmbeddedValkey]:
    """A real Valkey of the test's own, empty at first."""
    async with EmbeddedValkey() as server:
        yield server


# Redis itself too, where the machine has it.
@pytest_asyncio.fixture(params=["valkey", *(["redis-server"] if shutil.which("redis-server") else [])])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedValkey]:
    """As `valkey`, and once more with Redis, for tests of the functions inside."""
    command = None if request.param == "valkey" else shutil.which(request.param)
    async with EmbeddedValkey(command=command) as running:
        yield running
