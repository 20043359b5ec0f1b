"""Fixtures for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
