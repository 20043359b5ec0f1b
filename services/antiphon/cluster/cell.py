"""One Redis and the regions whose edges it knows: claims of a place for a session, lists of sessions, rooms and rates.

Who is there, on which lease, is cell_members.py's business; what is remembered of one session one_session.py's; which
of several Redises a question is for, and what all of them know together, store.py's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from antiphon.cluster.cell_members import CellMembers
from antiphon.cluster.event_groups import EventGroup
from antiphon.cluster.events import Events
from antiphon.cluster.functions import COMMON
from antiphon.cluster.one_session import OneSession, flat
from antiphon.cluster.records import (
    LEASE_S,
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
    from collections.abc import Awaitable, Callable, Mapping, Sequence

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

    def session(self, session: str, *, left: Callable[[str, str], Awaitable[None]] | None = None) -> OneSession:
        """A session whose record is here."""
        return OneSession(self._functions, session, slot_ms=self._slot_ms, left=left)

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
                *flat(fields),
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

    async def live_calls(self, cursor: str, most: int) -> tuple[str, int, list[LiveCall]]:
        """About so many of the live sessions, the cursor for the next, and Redis's time in ms.

        "0" begins and ends. Raises UnavailableError.
        """
        following, now_ms, *texts = await self._functions.call("live_calls", cursor, most)
        return str(following), int(now_ms), [decode_live_call(text) for text in texts]

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
            "sessions", int(live), limit, project, created_ms, last, *flat(where or {})
        )
        return SessionPage(tuple(decode_session(text) for text in texts), following)

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

    async def place_room(self, name: str, region: str, *, over: str = "", asker: str = "") -> str:
        """The region that a room is in, in whichever cell: the first word counts, until the room is `over` there.

        The `asker` that said it may say another, while nobody has joined in. Raises UnavailableError.
        """
        times = round(ROOM_SETTLES_S * 1000), round(ROOM_PLACE_S * 1000)
        return str(await self._functions.call("place_room", name, region, over, *times, asker))

    async def give_up_room(self, name: str, asker: str) -> None:
        """Nothing came of the asker's word. Raises UnavailableError."""
        await self._functions.call("give_up_room", name, asker)

    async def place_of_room(self, name: str) -> str | None:
        """None where it is not known. Raises UnavailableError."""
        place: str | None = await self._functions.call("place_of_room", name)
        return place

    async def lead(self, task: str, node: str, seconds: float) -> bool:
        """Whether this node is the one that does the task, for so long from now. Raises UnavailableError."""
        return bool(await self._functions.call("lead", task, node, round(seconds * 1000)))


def room_settled(room: str) -> RoomSettledError:
    return RoomSettledError(f"somebody else began the room {room_name(room)} at this moment; try again")


def over_quota(quota: int) -> OverLimitError:
    return OverLimitError(
        f"the project has {quota} sessions, the most that it may have at a time",
        what="over_quota",
        retry_after=QUOTA_RETRY_S,
    )


def _because(refused: Mapping[str, str], candidates: Sequence[str]) -> str:
    reasons = [f"{name} {refused[name]}" for name in candidates if name in refused]
    return f" ({', '.join(reasons)})" if reasons else ""
