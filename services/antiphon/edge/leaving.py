"""While the edge drains, asks members of rooms that no worker serves to come to another. Others their workers ask."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.cluster import Membership
    from antiphon.edge._media import MediaPlane
    from antiphon.edge.sessions import LiveSession, SessionBook

_STEP_S = 0.25
_AT_ONCE = 20
"""So many are asked each step: each sets up a connection, at the edges that are left. Of a room all."""
_AGAIN_S = 10.0


class Leaving:
    """`drains()` says whether this edge does, `members()` is the last known membership."""

    def __init__(
        self,
        plane: MediaPlane,
        book: SessionBook,
        drains: Callable[[], bool],
        members: Callable[[], Membership | None],
        edge: str,
    ) -> None:
        self._plane = plane
        self._book = book
        self._drains = drains
        self._members = members
        self._edge = edge
        self._asked: dict[str, float] = {}
        """When a session was asked last."""

    async def run(self) -> None:
        """Works until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self.step(loop.time())
            await asyncio.sleep(_STEP_S)

    def step(self, now_s: float) -> int:
        """Asks some of those who shall leave, and of a room all. Returns how many."""
        if not self._drains() or not self._somewhere_to_go():
            self._asked.clear()
            return 0
        stay = {one.id: one for one in self._book if one.room and not one.worker}
        self._asked = {session: at for session, at in self._asked.items() if session in stay}
        rooms: dict[str, list[LiveSession]] = {}
        for one in stay.values():
            if now_s - self._asked.get(one.id, -_AGAIN_S) >= _AGAIN_S:
                rooms.setdefault(one.room, []).append(one)
        asked = 0
        for members in rooms.values():
            if asked >= _AT_ONCE:
                break
            for one in members:
                self._asked[one.id] = now_s
                with suppress(PermissionError, BlockingIOError):  # another owner has it; it is asked again
                    self._plane.ask_to_move(one.id, epoch=one.epoch)
                asked += 1
        return asked

    def _somewhere_to_go(self) -> bool:
        members = self._members()
        return members is not None and any(one.id != self._edge and not one.draining for one in members.edges)
