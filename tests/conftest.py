"""Fixtures for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from antiphon.cluster.embedded import EmbeddedValkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def valkey() -> AsyncIterator[EmbeddedValkey]:
    """A real Valkey of the test's own, empty at first."""
    async with EmbeddedValkey() as server:
        yield server
