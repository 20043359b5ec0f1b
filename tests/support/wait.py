"""Waiting by condition: no test sleeps for a fixed time and hopes."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


@overload
async def until(
    condition: Callable[[], Awaitable[T | None]], *, seconds: float = 60.0, every: float = 0.02, what: str = ""
) -> T: ...
@overload
async def until(
    condition: Callable[[], T | None], *, seconds: float = 60.0, every: float = 0.02, what: str = ""
) -> T: ...
async def until(
    condition: Callable[[], Any], *, seconds: float = 60.0, every: float = 0.02, what: str = "the condition"
) -> Any:
    """Returns the first true value of `condition()`, asked each `every` seconds; TimeoutError after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                value = condition()
                result = await value if inspect.isawaitable(value) else value
                if result:
                    return result
                await asyncio.sleep(every)
    except TimeoutError:
        msg = f"{what} did not come true within {seconds:.0f} s"
        raise TimeoutError(msg) from None
