"""Tasks that a test has running beside it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancels them and waits until they are over. Raises what one of them failed with."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
