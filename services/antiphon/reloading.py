"""Files that are read anew while a service runs: what cannot be read changes nothing, and is told once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from antiphon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_LOOK_S = 1.0


async def look_each_second(look: Callable[[], Awaitable[None]], failed: Callable[[str], None]) -> None:
    """Calls `look()`, which may raise, until cancelled. `failed` hears of a ConfigError when it is a new one.

    Of any other exception it hears the kind alone, each time: its own words may hold a secret.
    """
    failing = ""
    while True:
        await asyncio.sleep(_LOOK_S)
        try:
            await look()
            failing = ""
        except ConfigError as error:
            if str(error) != failing:
                failed(str(error))
            failing = str(error)
        except Exception as error:  # noqa: BLE001 - it must not end the watch for good
            failed(type(error).__name__)
