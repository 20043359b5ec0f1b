"""What one Redis knows of members: who is there, on which lease, and what sessions they hold.

Claims and sessions' records are cell.py's business.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from antiphon import telemetry
from antiphon.cluster.functions import COMMON, Functions
from antiphon.cluster.records import (
    LEASE_S,
    RECORD_S,
    RENEW_S,
    SLOT_S,
    Drain,
    EdgeRecord,
    Membership,
    WorkerRecord,
    decode_drain,
    decode_member,
    encode_member,
)
from antiphon.cluster.seals import Seals
from antiphon.cluster.watch import Watch
from antiphon.errors import UnavailableError, UnknownMemberError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from antiphon.redis_address import RedisAddress

_log = telemetry.get_logger("cluster")
_CONNECTED = telemetry.gauge(
    "cluster_connected",
    "1 while this member's lease is renewed, by whose Redis: a region's, or all where one serves all.",
    ["member", "region"],
)
_HOLD_CHUNK = 256  # sessions in one call: Redis runs one call at a time
_UNSIGNED = telemetry.counter(
    "cluster_unsigned_records", "Records of members that are not signed as they must be, by kind.", ["kind"]
)
_LEAVE_S = 1.0
_MOST_STRANGERS = 1000


class CellMembers:
    """`name` is that of the region that has this Redis, or COMMON.

    With `secrets`, members sign their records with the first of them, and records that none of them signed count for
    nothing.
    """

    def __init__(
        self,
        url: RedisAddress | str,
        *,
        name: str = COMMON,
        lease_s: float = LEASE_S,
        slot_s: float = SLOT_S,
        secrets: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._functions = Functions(url, name)
        self._seals = Seals(secrets)
        self._strangers: set[str] = set()
        self._watch = Watch(self._functions, self._members)
        self._lease_ms = round(lease_s * 1000)
        self._slot_ms = round(slot_s * 1000)
        self._renew_s = min(RENEW_S, lease_s / 5)
        self._hurry = asyncio.Event()
        self._newest_epoch = 0  # of all sessions; Redis may forget it
        self._recent: tuple[float, Membership] | None = None
        self._reading: asyncio.Task[Membership] | None = None
        self.registered = False
        """Whether the cluster has heard of the member that `keep` tells of. An outage since then changes nothing."""

    async def close(self) -> None:
        await self._watch.close()
        await self._functions.close()

    async def keep(
        self,
        record: Callable[[], EdgeRecord | WorkerRecord],
        sessions: Callable[[], Mapping[str, int]] | None = None,
        *,
        stale: Callable[[Sequence[str]], None] | None = None,
        drain: Callable[[Drain | None, int], None] | None = None,
        elsewhere: Callable[[], int] | None = None,
        tells: bool = True,
        asked: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        """Registers at once, renews each second with the live sessions (id to epoch), and leaves when cancelled.

        Outlives any outage of Redis. `stale` hears of sessions that have a newer owner or have ended: let them go.
        `drain` hears at each renewal what the member is ordered, and the time (ms) that the order is told in.
        `asked` hears which of a worker's sessions are to be asked to move.
        A member of several cells has `elsewhere()` sessions more, which others have slots for; one of them `tells` of
        its coming and going.
        """
        instance, failing = 0, False
        renewal: asyncio.Task[int] | None = None
        member = record().id
        connected = _CONNECTED.labels(member, self.name)
        try:
            while True:
                began = time.monotonic()
                try:
                    renewal = asyncio.create_task(
                        self._renew(
                            record(),
                            sessions() if sessions else {},
                            instance,
                            stale,
                            drain,
                            elsewhere() if elsewhere else 0,
                            asked,
                            tells=tells,
                        )
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
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.05, self._renew_s - (time.monotonic() - began))):
                        await self._hurry.wait()
                self._hurry.clear()
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
        drain: Callable[[Drain | None, int], None] | None,
        elsewhere: int,
        asked: Callable[[Sequence[str]], None] | None,
        *,
        tells: bool,
    ) -> int:
        kind = _kind(record)
        text = self._seals.sign(kind, encode_member(record))
        load = max(record.sessions, len(sessions))
        now_has, order, now_ms, moving = await self._functions.call(
            "renew", kind, record.id, text, load, self._lease_ms, instance, elsewhere, int(tells)
        )
        if now_has == 0:
            _log.error("another process runs under this id; give each its own", member=record.id)
            return instance
        self.registered = True
        if drain is not None:
            drain(decode_drain(order), int(now_ms))
        if asked is not None and moving:
            asked(moving)
        if isinstance(record, EdgeRecord) and record.links:
            await self._functions.call("note_links", record.id, self._lease_ms, json.dumps(dict(record.links)))
        await self.hold(record, sessions, stale)
        return int(now_has)

    async def hold(
        self,
        record: EdgeRecord | WorkerRecord,
        sessions: Mapping[str, int],
        stale: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        """Keeps the slots and records of a member's sessions, id to epoch, whose records are in this cell.

        Raises UnavailableError.
        """
        region = record.region if isinstance(record, EdgeRecord) else ""
        pairs = [value for session in sessions.items() for value in session]
        for start in range(0, len(pairs), 2 * _HOLD_CHUNK):
            chunk = pairs[start : start + 2 * _HOLD_CHUNK]
            gone = await self._functions.call(
                "hold", _kind(record), record.id, region, self._slot_ms, round(RECORD_S * 1000), *chunk
            )
            if gone and stale:
                stale(gone)

    async def hold_guests(self, edge: str, sessions: Mapping[str, int]) -> None:
        """Keeps their slots at the edge. Raises UnavailableError."""
        ids = list(sessions)
        for start in range(0, len(ids), _HOLD_CHUNK):
            chunk = ids[start : start + _HOLD_CHUNK]
            newest = max(sessions[session] for session in chunk)
            await self._functions.call("hold_guests", edge, self._slot_ms, newest, *chunk)

    def hurry(self) -> None:
        """The member that `keep` tells of has changed in a way that cannot wait for the next renewal."""
        self._hurry.set()

    async def drain(self, kind: Literal["edge", "worker"], member: str, seconds: float) -> Drain:
        """From now on nothing is placed at this member; what it has may stay for so long. Again: a new deadline.

        Raises UnknownMemberError, UnavailableError.
        """
        order = decode_drain(await self._functions.call("drain", kind, member, round(seconds * 1000)) or "")
        if order is None:
            raise UnknownMemberError(f"there is no live {kind} {member}")
        return order

    async def undrain(self, kind: Literal["edge", "worker"], member: str) -> None:
        """Takes an order to drain back; none is no error. Raises UnknownMemberError, UnavailableError."""
        if not await self._functions.call("undrain", kind, member):
            raise UnknownMemberError(f"there is no live {kind} {member}")

    async def members(self) -> Membership:
        """Who is there now. Raises UnavailableError while Redis is away; `watch` and `known` keep the last known."""
        return (await self._members())[1]

    async def recent_members(self, *, within_s: float, or_s: float = 0.0) -> Membership:
        """As `members`, but read at most so long ago; all who ask at one time share one reading.

        One that is no older than `or_s` will do while the next is read. Raises UnavailableError. Loads may be that old:
        a claim looks again.
        """
        age_s = time.monotonic() - self._recent[0] if self._recent is not None else float("inf")
        if self._recent is not None and age_s <= within_s:
            return self._recent[1]
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_members())
            self._reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._recent is not None and age_s <= or_s:
            return self._recent[1]
        return await asyncio.shield(self._reading)

    async def _read_members(self) -> Membership:
        began = time.monotonic()
        found = await self.members()
        self._recent = (began, found)
        return found

    def watch(self) -> AsyncIterator[Membership]:
        """Yields the membership at once, when known, and at each change. Keeps the last known while Redis is away."""
        return self._watch.changes()

    @property
    def known(self) -> Membership | None:
        """The last membership that a `watch` saw."""
        return self._watch.known

    @property
    def away(self) -> bool:
        """Whether Redis gave no answer to a `watch` when it was last asked."""
        return self._watch.away

    def next_epoch(self) -> int:
        """For a new session that is placed while Redis is away: newer than all that this process knows of."""
        self._newest_epoch = max(self._newest_epoch + 1, round(time.time() * 1000))
        return self._newest_epoch

    async def _members(self) -> tuple[str, Membership]:
        reply = json.loads(await self._functions.call("members"))
        self._newest_epoch = max(self._newest_epoch, int(reply["epoch"]))
        known = {kind: self._signed(kind, reply[kind] or ()) for kind in ("edge", "worker")}
        edges = [decode_member(EdgeRecord, *_told(m), m.get("links")) for m in known["edge"]]
        workers = [decode_member(WorkerRecord, *_told(m)) for m in known["worker"]]
        return str(reply["born"]), Membership(
            tuple(sorted(edges, key=lambda edge: edge.id)), tuple(sorted(workers, key=lambda worker: worker.id))
        )

    def _signed(self, kind: str, found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those whose records hold. Of the others the log tells once."""
        signed = [member for member in found if self._seals.holds(kind, member["record"])]
        for member in found:
            name = f"{kind} {member['record']}"
            if member in signed or name in self._strangers:
                continue
            if len(self._strangers) >= _MOST_STRANGERS:
                self._strangers.clear()
            self._strangers.add(name)
            _UNSIGNED.labels(kind).inc()
            _log.error("a member is not believed: its record is not signed", record=name[:200])
        return signed


def _kind(record: EdgeRecord | WorkerRecord) -> str:
    return "edge" if isinstance(record, EdgeRecord) else "worker"


def _told(member: Mapping[str, Any]) -> tuple[str, int, str]:
    return member["record"], int(member["sessions"]), member["drain"]
