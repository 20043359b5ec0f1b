"""The cluster as services see it: membership with leases, claims of a place for a session, and sessions' records."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from antiphon import telemetry
from antiphon.cluster.functions import Functions
from antiphon.cluster.records import (
    LEASE_S,
    MOST_TURNS,
    NO_WORKER,
    RECORD_S,
    RENEW_S,
    SLOT_S,
    Claim,
    EdgeRecord,
    Membership,
    RoomRecord,
    SessionRecord,
    WorkerRecord,
    decode_member,
    decode_room,
    decode_session,
    encode_member,
)
from antiphon.cluster.watch import Watch
from antiphon.errors import (
    NoEdgeError,
    NoWorkerError,
    RoomSettledError,
    StaleEpochError,
    UnavailableError,
    UnknownSessionError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from types import TracebackType

_log = telemetry.get_logger("cluster")
_CONNECTED = telemetry.gauge("cluster_connected", "1 while this member's lease is renewed.", ["member"])
_HOLD_CHUNK = 256  # sessions in one call: Redis runs one call at a time
_LEAVE_S = 1.0


class Cluster:
    """One Redis and the services around it. `cell` names the set of regions that share this Redis."""

    def __init__(self, url: str, *, cell: str = "all", lease_s: float = LEASE_S, slot_s: float = SLOT_S) -> None:
        self._functions = Functions(url, cell)
        self._watch = Watch(self._functions, self._members)
        self._lease_ms = round(lease_s * 1000)
        self._slot_ms = round(slot_s * 1000)
        self._renew_s = min(RENEW_S, lease_s / 5)
        self.registered = False
        """Whether the cluster has heard of the member that `keep` tells of. An outage since then changes nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._watch.close()
        await self._functions.close()

    # Membership

    async def keep(
        self,
        record: Callable[[], EdgeRecord | WorkerRecord],
        sessions: Callable[[], Mapping[str, int]] | None = None,
        *,
        stale: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        """Registers at once, renews each second with the live sessions (id to epoch), and leaves when cancelled.

        Outlives any outage of Redis. `stale` hears of sessions that have a newer owner or have ended: let them go.
        """
        instance, failing = 0, False
        renewal: asyncio.Task[int] | None = None
        member = record().id
        connected = _CONNECTED.labels(member)
        try:
            while True:
                began = time.monotonic()
                try:
                    renewal = asyncio.create_task(
                        self._renew(record(), sessions() if sessions else {}, instance, stale)
                    )
                    instance = await asyncio.shield(renewal)
                    connected.set(1)
                    if failing:
                        _log.info("the cluster's Redis answers again", member=member)
                    failing = False
                except UnavailableError as error:
                    connected.set(0)
                    if not failing:
                        _log.warning("cannot renew the lease; live calls go on", member=member, error=str(error))
                    failing = True
                await asyncio.sleep(max(0.05, self._renew_s - (time.monotonic() - began)))
        finally:
            connected.set(0)
            with suppress(UnavailableError, TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    if renewal is not None:
                        with suppress(UnavailableError):
                            instance = await renewal  # who does not know its instance cannot leave
                    await self._functions.call("leave", _kind(record()), member, instance)

    async def _renew(
        self,
        record: EdgeRecord | WorkerRecord,
        sessions: Mapping[str, int],
        instance: int,
        stale: Callable[[Sequence[str]], None] | None,
    ) -> int:
        kind, text = _kind(record), encode_member(record)
        load = max(record.sessions, len(sessions))
        reply = await self._functions.call(
            "renew", kind, record.id, text, load, self._lease_ms, instance, round(RECORD_S * 1000)
        )
        if reply == 0:
            _log.error("another process runs under this id; give each its own", member=record.id)
            return instance
        self.registered = True
        region = record.region if isinstance(record, EdgeRecord) else ""
        pairs = [value for session in sessions.items() for value in session]
        for start in range(0, len(pairs), 2 * _HOLD_CHUNK):
            chunk = pairs[start : start + 2 * _HOLD_CHUNK]
            gone = await self._functions.call(
                "hold", kind, record.id, region, self._slot_ms, round(RECORD_S * 1000), *chunk
            )
            if gone and stale:
                stale(gone)
        return int(reply)

    async def members(self) -> Membership:
        """Who is there now. Raises UnavailableError while Redis is away; `watch` and `known` keep the last known."""
        return (await self._members())[1]

    async def edges(self) -> list[EdgeRecord]:
        return list((await self.members()).edges)

    async def workers(self) -> list[WorkerRecord]:
        return list((await self.members()).workers)

    def watch(self) -> AsyncIterator[Membership]:
        """Yields the membership at once, when known, and at each change. Keeps the last known while Redis is away."""
        return self._watch.changes()

    @property
    def known(self) -> Membership | None:
        """The last membership that a `watch` saw."""
        return self._watch.known

    async def _members(self) -> tuple[str, Membership]:
        reply = json.loads(await self._functions.call("members"))
        edges = [decode_member(EdgeRecord, m["record"], m["sessions"]) for m in reply["edge"] or ()]
        workers = [decode_member(WorkerRecord, m["record"], m["sessions"]) for m in reply["worker"] or ()]
        return str(reply["born"]), Membership(
            tuple(sorted(edges, key=lambda edge: edge.id)), tuple(sorted(workers, key=lambda worker: worker.id))
        )

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
        metadata: Mapping[str, Any] | None = None,
        placement: Mapping[str, Any] | None = None,
    ) -> Claim:
        """Takes a slot at the first edge and the first worker, in the order given, that are live and have room.

        Without an `agent` there is no worker, and the claim has NO_WORKER. A session of a `room` that others are in
        goes where they are: RoomSettledError where `agent`, `edges` and `workers` say otherwise.
        At once and once: a claim repeated with the same `request` is the same claim. `previous` is the epoch that the
        caller takes the session over from, 0 for a new session. Raises NoEdgeError, NoWorkerError, StaleEpochError
        (somebody else has the session), UnavailableError.
        """
        fields = {
            "caller": caller,
            "room": room,
            "metadata": json.dumps(metadata or {}),
            "placement": json.dumps(placement or {}),
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
                *_flat(fields),
            )
        )
        refused = dict(reply.get("refused") or {})
        match reply["outcome"]:
            case "taken":
                raise StaleEpochError(f"session {session} has an owner already, of epoch {reply['epoch']}")
            case "room_settled":
                raise RoomSettledError(f"somebody else began the room {room} at this moment; try again")
            case "no_edge":
                raise NoEdgeError("no edge has room for another session" + _because(refused, edges))
            case "no_worker":
                raise NoWorkerError(
                    f"no worker with the agent {agent!r} has room for another session" + _because(refused, workers)
                )
        return Claim(
            session=session,
            epoch=int(reply["epoch"]),
            edge=decode_member(EdgeRecord, reply["edge"]),
            worker=decode_member(WorkerRecord, reply["worker"]) if reply.get("worker") else NO_WORKER,
            refused=refused,
        )

    async def update(self, session: str, epoch: int, **values: str | Mapping[str, Any]) -> None:
        """Changes fields of a session's record. Raises UnknownSessionError, StaleEpochError, UnavailableError."""
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
        done = await self._functions.call("update", session, epoch, *_flat(texts))
        if done == 0:
            raise UnknownSessionError(f"there is no session {session}")
        if done < 0:
            raise StaleEpochError(f"session {session} has a newer owner than epoch {epoch}")

    async def release(
        self,
        session: str,
        epoch: int,
        outcome: Mapping[str, Any] | None = None,
        *,
        ttl_s: float = RECORD_S,
        amend: bool = True,
    ) -> None:
        """Ends a session: frees its slots and keeps its record for a while. May be repeated.

        The last outcome stays; without `amend`, one that is there already does: the edge knows most of a session's end.
        Raises StaleEpochError where a newer owner has it, UnavailableError.
        """
        done = await self._functions.call(
            "release", session, epoch, round(ttl_s * 1000), json.dumps(outcome or {}), int(amend)
        )
        if done < 0:
            raise StaleEpochError(f"session {session} has a newer owner than epoch {epoch}")

    async def session(self, session: str) -> SessionRecord | None:
        text = await self._functions.call("session", session)
        return decode_session(text) if text else None

    async def sessions(self, *, live: bool = False, limit: int = 100) -> list[SessionRecord]:
        """The newest sessions first; with `live` only those that an edge holds or sets up."""
        return [decode_session(text) for text in await self._functions.call("sessions", int(live), limit)]

    async def note_turns(self, session: str, traces: Sequence[Mapping[str, Any]]) -> None:
        """Adds turns' latency traces to a session's; the last MOST_TURNS are kept. Raises UnavailableError."""
        texts = [json.dumps(trace, separators=(",", ":")) for trace in traces]
        await self._functions.call("note_turns", session, MOST_TURNS, round(RECORD_S * 1000), *texts)

    async def turns(self, session: str) -> list[dict[str, Any]]:
        """Turns' latency traces, the oldest first. Raises UnavailableError."""
        return [json.loads(text) for text in await self._functions.call("turns", session)]

    # Rooms

    async def room(self, name: str) -> RoomRecord | None:
        """None where nobody is in it."""
        text = await self._functions.call("room", name)
        return decode_room(text) if text else None

    async def rooms(self) -> list[RoomRecord]:
        """Rooms with somebody in them, by name."""
        return [decode_room(text) for text in await self._functions.call("rooms")]


def _kind(record: EdgeRecord | WorkerRecord) -> str:
    return "edge" if isinstance(record, EdgeRecord) else "worker"


def _flat(fields: Mapping[str, str]) -> list[str]:
    return [text for pair in fields.items() for text in pair]


def _because(refused: Mapping[str, str], candidates: Sequence[str]) -> str:
    reasons = [f"{name} {refused[name]}" for name in candidates if name in refused]
    return f" ({', '.join(reasons)})" if reasons else ""
