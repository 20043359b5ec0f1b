"""Fixtures for all tests."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest  # noqa: TC002 - pytest-asyncio reads annotations
import pytest_asyncio
from hypothesis import settings

from antiphon.cluster.embedded import EmbeddedValkey
from antiphon.testing.fixtures import agent_call

__all__ = ["agent_call", "valkey"]

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

settings.register_profile("antiphon", deadline=None)  # a busy machine is no failure
settings.load_profile("antiphon")


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
