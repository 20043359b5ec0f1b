"""Replies to requests that are done once, kept for those who ask again because they heard nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon.cluster.functions import Functions

HOLD_S = 30.0
"""For how long a request without a reply keeps others out: longer than one may take."""
KEEP_S = 600.0


class Replies:
    """By key, which says whose it is too. All raise UnavailableError."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    async def begin(self, key: str, request: str, owner: str) -> tuple[str, str]:
        """new, in_flight, other or answered, and the reply; `request` is a digest, `owner` names this attempt."""
        state, reply = await self._functions.call("begin", key, request, owner, round(HOLD_S * 1000))
        return state, reply

    async def settle(self, key: str, owner: str, reply: str) -> None:
        """Keeps the reply; with "" lets go of the key."""
        await self._functions.call("settle", key, owner, round(KEEP_S * 1000), reply)
