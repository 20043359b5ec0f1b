"""Sessions that come to another edge: because theirs drains, or because it or their worker is lost to the caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from antiphon.errors import BadRequestError, UnknownSessionError
from antiphon.ids import room_name
from antiphon.signaling.granting import granted
from antiphon.signaling.metrics import MOVES
from antiphon.signaling.survey import Wish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiphon.access import Identity
    from antiphon.cluster import RoomRecord, SessionRecord
    from antiphon.placement import Origin
    from antiphon.signaling.models import MoveSession
    from antiphon.signaling.placing import Placed, Placer
    from antiphon.signaling.sessions import Sessions


@dataclass(frozen=True)
class Moving:
    """A session that is somewhere already."""

    record: SessionRecord
    lost: frozenset[str]
    """Edges and workers that the caller has lost: they are not taken."""
    to: str = ""
    """The one edge that it was asked to come to; empty for any."""

    def workers(self, ranked: Sequence[str], room: RoomRecord | None = None) -> list[str]:
        """Its own worker first, which knows what was said, though the ranking may lack it: it is full, or drains.

        In a room that of the room, and no other.
        """
        if room is not None:
            return [room.worker] if room.worker and room.worker not in self.lost else []
        own = [self.record.worker] if self.record.worker else []
        return [name for name in [*own, *(name for name in ranked if name not in own)] if name not in self.lost]


class Mover:
    """Moves sessions."""

    def __init__(self, placer: Placer, sessions: Sessions) -> None:
        self._placer = placer
        self._sessions = sessions

    async def move(
        self, session: str, asked: MoveSession, who: Identity, *, data_channel: int | None, origin: Origin, trace: str
    ) -> Placed:
        """Raises UnknownSessionError, BadRequestError, RoomConflictError, StaleEpochError, ForbiddenError, and what
        Placer.place does.
        """
        record = await self._sessions.record(session, who)
        if record.state == "ended":
            raise UnknownSessionError(f"session {session} is over")
        lost = frozenset(asked.lost)
        if record.room and record.edge in lost and await self._sessions.answers(record.edge, record.room):
            lost -= {record.edge}  # the room is there, and the way to it may be another
        agent = record.agent or asked.agent or ""
        if not agent and not record.room:
            raise BadRequestError(f"the record of session {session} was lost: say its agent, and its metadata")
        wish = Wish(
            offer=asked.sdp,
            agent=agent,
            region=asked.region,
            metadata=record.metadata or asked.metadata,
            turns=asked.turns.model_dump(exclude_none=True),
            data_channel=data_channel,
            origin=origin,
            project=record.project or who.project,
            owner=record.owner,
            recording=record.recording,
            trace=trace,
            measured=record.placement.get("evidence", {}).get("measured", {}),
            movable=True,
            room=room_name(record.room),
            moving=Moving(record, lost, "" if asked.lost else record.move_to),
        )
        placed = await self._placer.place(granted(wish, who.grants))
        MOVES.labels("lost" if asked.lost else "rebalanced" if record.move_to else "left").inc()
        return placed
