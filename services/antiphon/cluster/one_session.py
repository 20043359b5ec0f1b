"""One session as its Redis remembers it: what its owner, its worker and signaling tell of it, and what it is asked for.

Its place is claimed by cell.py; which Redis it is, its id says (store.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from antiphon.cluster.records import ASKED_S, MOST_TURNS, RECORD_S, decode_session
from antiphon.errors import StaleEpochError, UnknownSessionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from antiphon.cluster.functions import Functions
    from antiphon.cluster.records import Claim, SessionRecord


class OneSession:
    """All methods raise UnavailableError where Redis does not answer.

    `left` hears which edge has let go of the session, or did not take it: it may have a slot elsewhere.
    """

    def __init__(
        self,
        functions: Functions,
        session: str,
        *,
        slot_ms: int,
        left: Callable[[str, str], Awaitable[None]] | None = None,
    ) -> None:
        self.id = session
        self._functions = functions
        self._slot_ms = slot_ms
        self._left = left

    async def record(self) -> SessionRecord | None:
        text = await self._functions.call("session", self.id)
        return decode_session(text) if text else None

    async def adopt(self, claim: Claim, created_ms: int, fields: Mapping[str, str | Mapping[str, Any]]) -> None:
        """Writes a new session's claim that was made while Redis was away; it may have ended meanwhile.

        Fields are agent, caller, project, ... as `Cell.claim` has them. Raises StaleEpochError.
        """
        places = self.id, claim.epoch, claim.edge.id, claim.worker.id, claim.edge.region
        done = await self._functions.call(
            "adopt", *places, self._slot_ms, round(RECORD_S * 1000), created_ms, *flat(fields)
        )
        if done < 0:
            raise self._newer_owner(claim.epoch)

    async def update(self, epoch: int, *, at: str = "", **values: str | Mapping[str, Any]) -> None:
        """Changes fields of its record; `at` is its owner's edge. Raises UnknownSessionError, StaleEpochError."""
        self._known(await self._functions.call("update", self.id, epoch, at, *flat(values)), epoch)

    async def release(
        self,
        epoch: int,
        outcome: Mapping[str, Any] | None = None,
        *,
        ttl_s: float = RECORD_S,
        amend: bool = True,
        lost: bool = False,
        edge: str = "",
    ) -> None:
        """Ends it, of this epoch, at this edge where that is given. May be repeated.

        It frees its slots and keeps its record for a while.

        The last outcome stays; without `amend`, one that is there already does: the edge knows most of a session's end.
        With `lost` the session has not ended: its caller may come back by another edge or worker.
        Raises StaleEpochError where a newer owner has it.
        """
        told = round(ttl_s * 1000), json.dumps(outcome or {}), int(amend), int(lost), edge
        try:
            done = await self._functions.call("release", self.id, epoch, *told)
        finally:
            await self._has_left(edge)
        if done < 0:
            raise self._newer_owner(epoch)

    async def revert(self, epoch: int, *, edge: str = "") -> bool:
        """A move that this epoch was claimed for came to nothing: it stays where it was, at its old epoch.

        `edge` is the one that the claim was for: with the epoch it is the session's owner. Left out, the epoch decides.

        False where it was nowhere before. Raises StaleEpochError.
        """
        try:
            done = await self._functions.call("revert", self.id, epoch, edge)
        finally:
            await self._has_left(edge)
        if done < 0:
            raise self._newer_owner(epoch)
        return bool(done)

    async def order_move(self, epoch: int, edge: str, for_s: float = ASKED_S) -> bool:
        """Its worker is to ask its caller to come to this edge, which holds for so long.

        False where it is not live at that epoch, or moves already.
        """
        return bool(await self._functions.call("order_move", self.id, epoch, edge, round(for_s * 1000)))

    async def take_over(self, epoch: int, *, edge: str, worker: str, number: int) -> None:
        """Its owner has given it to another worker, as so many times before in this epoch.

        Raises UnknownSessionError, StaleEpochError.
        """
        self._known(await self._functions.call("take_over", self.id, epoch, edge, worker, number, self._slot_ms), epoch)

    async def note_turns(self, traces: Sequence[Mapping[str, Any]]) -> None:
        """Adds turns' latency traces; the last MOST_TURNS are kept."""
        texts = [json.dumps(trace, separators=(",", ":")) for trace in traces]
        await self._functions.call("note_turns", self.id, MOST_TURNS, round(RECORD_S * 1000), *texts)

    async def turns(self) -> list[dict[str, Any]]:
        """Turns' latency traces, the oldest first."""
        return [json.loads(text) for text in await self._functions.call("turns", self.id)]

    async def note_recording(self, part: str, what: str, facts: Mapping[str, Any]) -> None:
        """`what` (started, ended, failed) became of a part of its recording, which is told as an event, once."""
        await self._functions.call("note_recording", self.id, part, what, json.dumps(facts))

    async def note_checkpoint(
        self, epoch: int, text: str, *, edge: str = "", takeovers: int = 0, room: bool = False
    ) -> None:
        """Keeps the last one, of a worker that has the session after so many takeovers; with `room` that of its room.

        Raises StaleEpochError (it is elsewhere, or over).
        """
        told = epoch, round(RECORD_S * 1000), text, edge, takeovers, int(room)
        if await self._functions.call("note_checkpoint", self.id, *told) < 0:
            raise StaleEpochError(f"session {self.id} is not at epoch {epoch} any more")

    async def checkpoint(self, *, room: bool = False) -> str | None:
        """None where there is none; with `room` that of the session's room."""
        text: str | None = await self._functions.call("checkpoint", self.id, int(room))
        return text

    async def _has_left(self, edge: str) -> None:
        if edge and self._left is not None:
            await self._left(self.id, edge)

    def _known(self, done: int, epoch: int) -> None:
        if done == 0:
            raise UnknownSessionError(f"there is no session {self.id}")
        if done < 0:
            raise self._newer_owner(epoch)

    def _newer_owner(self, epoch: int) -> StaleEpochError:
        return StaleEpochError(f"session {self.id} has a newer owner than epoch {epoch}")


def flat(fields: Mapping[str, str | Mapping[str, Any]]) -> list[str]:
    """Names and values by turns; what is no text as JSON."""
    return [
        text
        for name, value in fields.items()
        for text in (name, value if isinstance(value, str) else json.dumps(value))
    ]
