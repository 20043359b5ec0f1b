"""One Redis and the regions whose edges it knows: claims of a place for a session, sessions' records, rooms and rates.

Who is there, on which lease, is cell_members.py's business; which of several Redises a question is for, and what all of
them know together, store.py's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from antiphon.cluster.cell_members import CellMembers
from antiphon.cluster.event_groups import EventGroup
from antiphon.cluster.events import Events
from antiphon.cluster.functions import COMMON
from antiphon.cluster.records import (
    ASKED_S,
    LEASE_S,
    MOST_TURNS,
    MOVE_S,
    NO_WORKER,
    RECORD_S,
    ROOM_PLACE_S,
    ROOM_SETTLES_S,
    SLOT_S,
    Claim,
    EdgeRecord,
    LiveCall,
    Reserved,
    RoomRecord,
    SessionPage,
    SessionRecord,
    WorkerRecord,
    decode_live_call,
    decode_member,
    decode_room,
    decode_session,
)
from antiphon.cluster.replies import Replies
from antiphon.cluster.round_trips import RoundTrips
from antiphon.config_auth import DEFAULT_PROJECT
from antiphon.errors import (
    NoEdgeError,
    NoWorkerError,
    OverLimitError,
    RoomSettledError,
    StaleEpochError,
    UnknownSessionError,
)
from antiphon.ids import room_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiphon.redis_address import RedisAddress

QUOTA_RETRY_S = 5.0
"""When to ask again for a session that a project's quota refused, in seconds."""


class Cell(CellMembers):
    """As CellMembers; `move_s` is how long a session that moves may be at both edges."""

    def __init__(
        self,
        url: RedisAddress | str,
        *,
        name: str = COMMON,
        lease_s: float = LEASE_S,
        slot_s: float = SLOT_S,
        move_s: float = MOVE_S,
        secrets: Sequence[str] = (),
    ) -> None:
        super().__init__(url, name=name, lease_s=lease_s, slot_s=slot_s, secrets=secrets)
        self._move_ms = round(move_s * 1000)
        self.round_trips = RoundTrips(self._functions)
        self.events = Events(self._functions)
        self.replies = Replies(self._functions)

    def event_group(self, name: str, consumer: str, *, project: str, members: bool) -> EventGroup:
        """What happens, shared by all nodes that ask for the same `name`."""
        return EventGroup(self._functions, name, consumer, project=project, members=members)

    # Sessions

    async def claim(
        self,
        session: str,
        *,
        agent: str,
        edges: Sequence[str],
        workers: Sequence[str],
        previous: int = 0,
        request: str | None = None,
        caller: str = "",
        room: str = "",
        project: str = DEFAULT_PROJECT,
        owner: str = "",
        quota: int | None = None,
        recording: bool = False,
        metadata: Mapping[str, Any] | None = None,
        placement: Mapping[str, Any] | None = None,
        networks: Sequence[str] = (),
        guest: Reserved | None = None,
        room_leaves: str = "",
    ) -> Claim:
        """Takes a slot at the first edge and the first worker, in the order given, that are live and have room.

        Without an `agent` there is no worker, and the claim has NO_WORKER. A session of a `room` that others are in
        goes where they are: RoomSettledError where `agent`, `edges` and `workers` say otherwise. One that moves takes
        its room along where the room is at the edge `room_leaves`: to an edge that has room for all of it.
        At once and once: a claim repeated with the same `request` is the same claim. `previous` is the epoch that the
        caller takes the session over from, 0 for a new session: it then moves, and may be at both edges for a while.
        `quota` is for a new one: the most sessions that `project` may have. With `guest` the session moves to an edge
        of another cell, which has a slot for it already. Raises NoEdgeError, NoWorkerError,
        OverLimitError, StaleEpochError (somebody else has the session), UnknownSessionError (it has ended),
        UnavailableError.
        """
        fields = {
            "caller": caller,
            "room": room,
            "project": project,
            "owner": owner,
            "quota": "" if quota is None else str(quota),
            "recording": "1" if recording else "",
            "metadata": json.dumps(metadata or {}),
            "placement": json.dumps(placement or {}),
            "networks": " ".join(networks),
        }
        reply = json.loads(
            await self._functions.call(
                "claim",
                request or uuid4().hex,
                session,
                previous,
                agent,
                self._slot_ms,
                round(RECORD_S * 1000),
                json.dumps(list(edges)),
                json.dumps(list(workers)),
                self._move_ms,
                max(self._newest_epoch, guest.newest_epoch if guest else 0),
                guest.record if guest else "",
                room_leaves,
                *_flat(fields),
            )
        )
        refused = dict(reply.get("refused") or {})
        match reply["outcome"]:
            case "taken":
                raise StaleEpochError(f"session {session} has an owner already, of epoch {reply['epoch']}")
            case "ended":
                raise UnknownSessionError(f"session {session} is over")
            case "over_quota":
                raise over_quota(quota or 0)
            case "room_settled":
                raise room_settled(room)
            case "no_edge":
                raise NoEdgeError("no edge has room for another session" + _because(refused, edges))
            case "no_worker":
                raise NoWorkerError(
                    f"no worker with the agent {agent!r} has room for another session" + _because(refused, workers)
                )
        self._newest_epoch = max(self._newest_epoch, int(reply["epoch"]))
        holds = self._seals.holds
        if not (holds("edge", reply["edge"]) and (not reply.get("worker") or holds("worker", reply["worker"]))):
            raise NoEdgeError("a record of the edge or of the worker changed at this moment, and is not signed")
        return Claim(
            session=session,
            epoch=int(reply["epoch"]),
            edge=decode_member(EdgeRecord, reply["edge"]),
            worker=decode_member(WorkerRecord, reply["worker"]) if reply.get("worker") else NO_WORKER,
            refused=refused,
        )

    async def reserve(self, session: str, edges: Sequence[str], *, epoch: int) -> Reserved:
        """A slot at the first of these edges that has room, for a session whose record is in another cell.

        It holds for as long as that of a claim. `epoch` is the newest of the session's. Raises NoEdgeError,
        UnavailableError.
        """
        reply = json.loads(
            await self._functions.call("reserve", session, self._slot_ms, json.dumps(list(edges)), epoch)
        )
        refused = dict(reply.get("refused") or {})
        record = reply.get("edge") or ""
        if not record:
            raise NoEdgeError("no edge has room for another session" + _because(refused, edges))
        edge = decode_member(EdgeRecord, record).id
        if not self._seals.holds("edge", record):
            await self.free_guest(session, edge)
            raise NoEdgeError("a record of the edge changed at this moment, and is not signed")
        return Reserved(edge, record, refused, int(reply["epoch"]))

    async def free_guest(self, session: str, edge: str) -> None:
        """Gives its slot back; there need not be one. Raises UnavailableError."""
        await self._functions.call("free_guest", session, edge)

    async def live_of(self, project: str) -> int:
        """How many live sessions a project has in this cell. Raises UnavailableError."""
        return int(await self._functions.call("live_of", project))

    async def adopt(self, claim: Claim, created_ms: int, fields: Mapping[str, str | Mapping[str, Any]]) -> None:
        """Writes a new session's claim that was made while Redis was away; it may have ended meanwhile.

        Fields are agent, caller, project, ... as `claim` has them. Raises StaleEpochError, UnavailableError.
        """
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
        places = claim.session, claim.epoch, claim.edge.id, claim.worker.id, claim.edge.region
        done = await self._functions.call(
            "adopt", *places, self._slot_ms, round(RECORD_S * 1000), created_ms, *_flat(texts)
        )
        if done < 0:
            raise newer_owner(claim.session, claim.epoch)

    async def revert(self, session: str, epoch: int, *, edge: str = "") -> bool:
        """A move that this epoch was claimed for came to nothing: the session stays where it was, at its old epoch.

        `edge` is the one that the claim was for: with the epoch it is the session's owner. Left out, the epoch decides.

        False where it was nowhere before. Raises StaleEpochError, UnavailableError.
        """
        done = await self._functions.call("revert", session, epoch, edge)
        if done < 0:
            raise newer_owner(session, epoch)
        return bool(done)

    async def order_move(self, session: str, epoch: int, edge: str, for_s: float = ASKED_S) -> bool:
        """Its worker is to ask its caller to come to this edge, which holds for so long.

        False where it is not live at that epoch, or moves already. Raises UnavailableError.
        """
        return bool(await self._functions.call("order_move", session, epoch, edge, round(for_s * 1000)))

    async def live_calls(self, cursor: str, most: int) -> tuple[str, int, list[LiveCall]]:
        """About so many of the live sessions, the cursor for the next, and Redis's time in ms.

        "0" begins and ends. Raises UnavailableError.
        """
        following, now_ms, *texts = await self._functions.call("live_calls", cursor, most)
        return str(following), int(now_ms), [decode_live_call(text) for text in texts]

    async def update(self, session: str, epoch: int, *, at: str = "", **values: str | Mapping[str, Any]) -> None:
        """Changes fields of a session's record; `at` is its owner's edge.

        Raises UnknownSessionError, StaleEpochError, UnavailableError.
        """
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
        done = await self._functions.call("update", session, epoch, at, *_flat(texts))
        if done == 0:
            raise UnknownSessionError(f"there is no session {session}")
        if done < 0:
            raise newer_owner(session, epoch)

    async def release(
        self,
        session: str,
        epoch: int,
        outcome: Mapping[str, Any] | None = None,
        *,
        ttl_s: float = RECORD_S,
        amend: bool = True,
        lost: bool = False,
        edge: str = "",
    ) -> None:
        """Ends a session of this epoch, at this edge where that is given. May be repeated.

        It frees its slots and keeps its record for a while.

        The last outcome stays; without `amend`, one that is there already does: the edge knows most of a session's end.
        With `lost` the session has not ended: its caller may come back by another edge or worker.
        Raises StaleEpochError where a newer owner has it, UnavailableError.
        """
        done = await self._functions.call(
            "release", session, epoch, round(ttl_s * 1000), json.dumps(outcome or {}), int(amend), int(lost), edge
        )
        if done < 0:
            raise newer_owner(session, epoch)

    async def session(self, session: str) -> SessionRecord | None:
        text = await self._functions.call("session", session)
        return decode_session(text) if text else None

    async def sessions(
        self,
        *,
        live: bool = False,
        limit: int = 100,
        project: str = DEFAULT_PROJECT,
        after: str = "",
        where: Mapping[str, str] | None = None,
    ) -> SessionPage:
        """A project's, the newest first; with `live` those that an edge holds or sets up.

        `after` is the `next` of a page; `where` says what fields of the record must be: agent, owner, state and so on.
        A page may be shorter than `limit` though another follows. Raises UnavailableError.
        """
        created_ms, _, last = after.partition(" ")
        following, *texts = await self._functions.call(
            "sessions", int(live), limit, project, created_ms, last, *_flat(where or {})
        )
        return SessionPage(tuple(decode_session(text) for text in texts), following)

    async def note_turns(self, session: str, traces: Sequence[Mapping[str, Any]]) -> None:
        """Adds turns' latency traces to a session's; the last MOST_TURNS are kept. Raises UnavailableError."""
        texts = [json.dumps(trace, separators=(",", ":")) for trace in traces]
        await self._functions.call("note_turns", session, MOST_TURNS, round(RECORD_S * 1000), *texts)

    async def turns(self, session: str) -> list[dict[str, Any]]:
        """Turns' latency traces, the oldest first. Raises UnavailableError."""
        return [json.loads(text) for text in await self._functions.call("turns", session)]

    async def note_recording(self, session: str, part: str, what: str, facts: Mapping[str, Any]) -> None:
        """`what` (started, ended, failed) became of a part of its recording, which is told as an event, once.

        Raises UnavailableError.
        """
        await self._functions.call("note_recording", session, part, what, json.dumps(facts))

    async def take_over(self, session: str, epoch: int, *, edge: str, worker: str, number: int) -> None:
        """Its owner has given the session to another worker, as so many times before in this epoch.

        Raises UnknownSessionError, StaleEpochError, UnavailableError.
        """
        done = await self._functions.call("take_over", session, epoch, edge, worker, number, self._slot_ms)
        if done == 0:
            raise UnknownSessionError(f"there is no session {session}")
        if done < 0:
            raise newer_owner(session, epoch)

    async def note_checkpoint(
        self, session: str, epoch: int, text: str, *, edge: str = "", takeovers: int = 0, room: bool = False
    ) -> None:
        """Keeps the last one, of a worker that has the session after so many takeovers; with `room` that of its room.

        Raises StaleEpochError (it is elsewhere, or over), UnavailableError.
        """
        keep_ms = round(RECORD_S * 1000)
        told = session, epoch, keep_ms, text, edge, takeovers, int(room)
        if await self._functions.call("note_checkpoint", *told) < 0:
            raise StaleEpochError(f"session {session} is not at epoch {epoch} any more")

    async def checkpoint(self, session: str, *, room: bool = False) -> str | None:
        """None where there is none; with `room` that of the session's room. Raises UnavailableError."""
        text: str | None = await self._functions.call("checkpoint", session, int(room))
        return text

    # Rates

    async def admit(self, *rates: tuple[str, float, int]) -> tuple[float, int]:
        """Counts a request of all these subjects (name, seconds between requests, burst), or of none where one is over.

        Returns how long to wait in seconds, 0 where it is admitted, and the place of the one that is over.
        Raises UnavailableError.
        """
        flat = [value for name, interval_s, burst in rates for value in (name, round(interval_s * 1e6), burst)]
        wait_us, which = await self._functions.call("admit", *flat)
        return int(wait_us) / 1e6, int(which) - 1

    # Rooms

    async def room(self, name: str) -> RoomRecord | None:
        """None where nobody is in it."""
        text = await self._functions.call("room", name)
        return decode_room(text) if text else None

    async def rooms(self) -> list[RoomRecord]:
        """Rooms with somebody in them, by name."""
        return [decode_room(text) for text in await self._functions.call("rooms")]

    async def place_room(self, name: str, region: str, *, over: str = "") -> str:
        """The region that a room is in, in whichever cell: the first word counts, until the room is `over` there.

        Raises UnavailableError.
        """
        times = round(ROOM_SETTLES_S * 1000), round(ROOM_PLACE_S * 1000)
        return str(await self._functions.call("place_room", name, region, over, *times))

    async def place_of_room(self, name: str) -> str | None:
        """None where it is not known. Raises UnavailableError."""
        place: str | None = await self._functions.call("place_of_room", name)
        return place

    async def lead(self, task: str, node: str, seconds: float) -> bool:
        """Whether this node is the one that does the task, for so long from now. Raises UnavailableError."""
        return bool(await self._functions.call("lead", task, node, round(seconds * 1000)))


def newer_owner(session: str, epoch: int) -> StaleEpochError:
    return StaleEpochError(f"session {session} has a newer owner than epoch {epoch}")


def room_settled(room: str) -> RoomSettledError:
    return RoomSettledError(f"somebody else began the room {room_name(room)} at this moment; try again")


def over_quota(quota: int) -> OverLimitError:
    return OverLimitError(
        f"the project has {quota} sessions, the most that it may have at a time",
        what="over_quota",
        retry_after=QUOTA_RETRY_S,
    )


def _flat(fields: Mapping[str, str]) -> list[str]:
    return [text for pair in fields.items() for text in pair]


def _because(refused: Mapping[str, str], candidates: Sequence[str]) -> str:
    reasons = [f"{name} {refused[name]}" for name in candidates if name in refused]
    return f" ({', '.join(reasons)})" if reasons else ""
