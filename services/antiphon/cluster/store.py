"""The cluster as services see it: all of its Redises, and which of them a question is for.

A region may have a Redis of its own (`redis.regions`): with it go the region's edges, the slots at them and the records
of the sessions that were begun there, whose ids name the region. All else is in the common one (`redis.url`), which
stands for all where no region has its own. What is done in one Redis is cell.py's business.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeVar, Unpack

from antiphon.cluster.cell import Cell, over_quota, room_settled
from antiphon.cluster.everywhere import PATIENCE_S, AllEvents, AllRoundTrips, ask
from antiphon.cluster.functions import COMMON
from antiphon.cluster.merging import merge_pages
from antiphon.cluster.records import (
    LEASE_S,
    MOVE_S,
    RENEW_S,
    SLOT_S,
    Claim,
    Drain,
    EdgeRecord,
    Membership,
    RoomRecord,
    SessionPage,
    WorkerRecord,
)
from antiphon.cluster.watch import Watching
from antiphon.config_auth import DEFAULT_PROJECT
from antiphon.errors import (
    AntiphonError,
    NoEdgeError,
    OverLimitError,
    UnavailableError,
    UnknownMemberError,
)
from antiphon.ids import session_region

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from antiphon.cluster.event_groups import EventGroup
    from antiphon.cluster.one_session import OneSession
    from antiphon.config import Config
    from antiphon.redis_address import RedisAddress

_Answer = TypeVar("_Answer")
_FAR_S = 2.0
"""How old loads of other regions may be, where those of the own one are newer: nobody waits for a far Redis twice."""
_QUOTA_S = 1.0
"""How old the number of a project's sessions in other regions may be."""


class Asked(TypedDict, total=False):
    """What a claim says of its session besides; see Cell.claim."""

    request: str | None
    caller: str
    owner: str
    recording: bool
    metadata: Mapping[str, Any] | None
    placement: Mapping[str, Any] | None
    networks: Sequence[str]
    room_leaves: str


class Cluster:
    """`url` is the common Redis; `regions` have their own. `region` is that of who asks: members register there.

    With `secrets`, members sign their records with the first of them, and records that none of them signed count for
    nothing. `cell` begins the common Redis's keys.
    """

    def __init__(
        self,
        url: RedisAddress | str,
        *,
        regions: Mapping[str, RedisAddress | str] | None = None,
        region: str = "",
        cell: str = COMMON,
        lease_s: float = LEASE_S,
        slot_s: float = SLOT_S,
        move_s: float = MOVE_S,
        secrets: Sequence[str] = (),
    ) -> None:
        open_cell = partial(Cell, lease_s=lease_s, slot_s=slot_s, move_s=move_s, secrets=secrets)
        self.common = open_cell(url, name=cell)
        self._regional = {name: open_cell(found, name=name) for name, found in sorted((regions or {}).items())}
        self.cells = (self.common, *self._regional.values())
        self.home = self.cell_of_region(region)
        """Where this process registers, counts rates and looks first."""
        self.events = AllEvents(self.cells)
        self.round_trips = AllRoundTrips(self.cells, self.cell_of)
        self.replies = self.common.replies
        self._watching = Watching(self.cells)
        self._edges: dict[str, str] = {}  # regions of edges that this process has heard of
        self._told: tuple[Membership, ...] = ()  # what cells said last, and all of it as one
        self._seen = Membership()
        self._counts: dict[tuple[str, str], tuple[float, int]] = {}  # a project's sessions in a cell, and when

    @classmethod
    def of(cls, config: Config) -> Self:
        return cls(
            config.redis.address,
            regions=config.redis.addresses,
            region=config.region.name,
            secrets=config.registration_keys,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._watching.close()
        await self.round_trips.close()
        for cell in self.cells:
            await cell.close()

    @property
    def several(self) -> bool:
        """Whether regions have a Redis of their own."""
        return len(self.cells) > 1

    @property
    def regions_away(self) -> tuple[str, ...]:
        """Where regions have a Redis of their own: whose gave no answer to a `watch` when it was last asked.

        COMMON stands for those that have none.
        """
        return tuple(cell.name for cell in self.cells if cell.away) if self.several else ()

    def cell_of_region(self, region: str) -> Cell:
        return self._regional.get(region, self.common)

    def cell_of(self, session: str) -> Cell:
        """Where a session's record is, wherever the session has moved to: its id names the region."""
        return self.cell_of_region(session_region(session) or "")

    def session(self, session: str) -> OneSession:
        """What its Redis remembers of a session, wherever it is by now: `await cluster.session(session).update(...)`.

        Where it ends, or a move comes to nothing, the slot at an edge of another cell is given back too.
        """
        cell = self.cell_of(session)
        return cell.session(session, left=self._free_guest if self.several else None)

    def _cell_of_edge(self, edge: str) -> Cell | None:
        region = self._edges.get(edge)
        return None if region is None else self.cell_of_region(region)

    def event_groups(self, name: str, consumer: str, *, project: str, members: bool) -> dict[str, EventGroup]:
        """What happens, by cell, shared by all nodes that ask for the same `name`."""
        return {cell.name: cell.event_group(name, consumer, project=project, members=members) for cell in self.cells}

    # Membership

    async def keep(
        self,
        record: Callable[[], EdgeRecord | WorkerRecord],
        sessions: Callable[[], Mapping[str, int]] | None = None,
        *,
        stale: Callable[[Sequence[str]], None] | None = None,
        drain: Callable[[Drain | None, int], None] | None = None,
        asked: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        """As Cell.keep. An edge registers with its region's Redis, a worker, which takes sessions of all, with each."""
        if not self.several:
            await self.common.keep(record, sessions, stale=stale, drain=drain, asked=asked)
            return
        live = sessions or dict
        first = record()
        async with asyncio.TaskGroup() as tasks:
            if isinstance(first, EdgeRecord):
                self._edges[first.id] = first.region
                cell = self.cell_of_region(first.region)
                own = partial(self._recorded_in, cell, live)
                tasks.create_task(cell.keep(record, own, stale=stale, drain=drain))
                tasks.create_task(self._keep_guests(cell, record, live, stale))
                return
            hear = _OneOrder(drain)
            for cell in self.cells:
                own = partial(self._recorded_in, cell, live)
                tasks.create_task(
                    cell.keep(
                        record,
                        own,
                        stale=stale,
                        drain=partial(hear, cell.name),
                        elsewhere=partial(_others, live, own),
                        tells=cell is self.home,
                        asked=asked,
                    )
                )

    def _recorded_in(self, cell: Cell, sessions: Callable[[], Mapping[str, int]]) -> dict[str, int]:
        return {session: epoch for session, epoch in sessions().items() if self.cell_of(session) is cell}

    async def _keep_guests(
        self,
        here: Cell,
        record: Callable[[], EdgeRecord | WorkerRecord],
        sessions: Callable[[], Mapping[str, int]],
        stale: Callable[[Sequence[str]], None] | None,
    ) -> None:
        """Renews what sessions of other regions have: a slot here, and a record there."""
        while True:
            guests = {cell: self._recorded_in(cell, sessions) for cell in self.cells if cell is not here}
            holds: list[Awaitable[None]] = [cell.hold(record(), some, stale) for cell, some in guests.items() if some]
            if holds:
                all_of_them = {session: epoch for some in guests.values() for session, epoch in some.items()}
                holds.append(here.hold_guests(record().id, all_of_them))
            for result in await asyncio.gather(*holds, return_exceptions=True):
                if isinstance(result, BaseException) and not isinstance(result, UnavailableError):
                    raise result
            await asyncio.sleep(RENEW_S)

    @property
    def registered(self) -> bool:
        """Whether the cluster has heard of the member that `keep` tells of. An outage since then changes nothing."""
        return any(cell.registered for cell in self.cells)

    def hurry(self) -> None:
        """The member that `keep` tells of has changed in a way that cannot wait for the next renewal."""
        for cell in self.cells:
            cell.hurry()

    async def drain(self, kind: Literal["edge", "worker"], member: str, seconds: float) -> Drain:
        """As Cell.drain, wherever the member is."""
        found = await self._order(lambda cell: cell.drain(kind, member, seconds))
        return found[0]

    async def undrain(self, kind: Literal["edge", "worker"], member: str) -> None:
        """As Cell.undrain, wherever the member is."""
        await self._order(lambda cell: cell.undrain(kind, member))

    async def _order(self, order: Callable[[Cell], Awaitable[_Answer]]) -> list[_Answer]:
        """Raises UnknownMemberError where no cell knows the member; UnavailableError where one that may is away."""
        answers = await asyncio.gather(*(order(cell) for cell in self.cells), return_exceptions=True)
        found = [answer for answer in answers if not isinstance(answer, BaseException)]
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        unexpected = [error for error in errors if not isinstance(error, UnknownMemberError | UnavailableError)]
        away = [error for error in errors if isinstance(error, UnavailableError)]
        if unexpected or not found:
            raise [*unexpected, *away, *errors][0]
        return found

    async def members(self) -> Membership:
        """Who is there now, in regions whose Redis answers; `watch` and `known` keep the last known of the others.

        Raises UnavailableError where none does.
        """
        return self._union(await ask(self.cells, lambda cell: cell.members()))

    async def recent_members(self, *, within_s: float) -> Membership:
        """As `members`, but read at most so long ago; those of other regions, where none of the loads is to be of this
        moment, a little longer.

        Raises UnavailableError. Loads may be that old: a claim looks again.
        """
        far_s = _FAR_S if within_s > 0 else 0.0
        return self._union(
            await ask(
                self.cells,
                lambda cell: cell.recent_members(within_s=within_s, or_s=0.0 if cell is self.home else far_s),
            )
        )

    def _union(self, answers: Mapping[str, Membership]) -> Membership:
        told = tuple(answers.values())
        if not self.several:
            return told[0]
        if len(told) != len(self._told) or any(new is not old for new, old in zip(told, self._told, strict=True)):
            self._told, self._seen = told, Membership.union(told)
            self._edges |= {edge.id: edge.region for edge in self._seen.edges}
        return self._seen

    async def edges(self) -> list[EdgeRecord]:
        return list((await self.members()).edges)

    async def edge(self, name: str) -> EdgeRecord | None:
        """The edge, as it was last heard of where its region's Redis is away. Raises UnavailableError."""
        found = (await self.members()).edge(name)
        if found is None and self.several and self.known is not None:
            known = self.known.edge(name)
            found = known if known is not None and self.cell_of_region(known.region).away else None
        return found

    async def workers(self) -> list[WorkerRecord]:
        return list((await self.members()).workers)

    def watch(self) -> AsyncIterator[Membership]:
        """Yields the membership at once, when known, and at each change. Keeps the last known while a Redis is away."""
        return self._watching.changes()

    @property
    def known(self) -> Membership | None:
        """The last membership that a `watch` saw."""
        return self._watching.known

    @property
    def away(self) -> bool:
        """Whether the region's Redis gave no answer to a `watch` when it was last asked."""
        return self.home.away

    def next_epoch(self) -> int:
        """For a new session that is placed while Redis is away: newer than all that this process knows of."""
        return self.home.next_epoch()

    # Sessions

    async def claim(
        self,
        session: str,
        *,
        agent: str,
        edges: Sequence[str],
        workers: Sequence[str],
        region: str = "",
        previous: int = 0,
        room: str = "",
        asker: str = "",
        project: str = DEFAULT_PROJECT,
        quota: int | None = None,
        **asked: Unpack[Asked],
    ) -> Claim:
        """As Cell.claim, in the one Redis of the region that a new session's id names.

        One `asker` may try one region after the other for a room that nobody else begins; see `give_up_room`.

        `region` is that of the edges, where a session with a record elsewhere moves there: it then has a slot in the
        one Redis, and its record and epoch in the other. Raises what Cell.claim does.
        """
        cell = self.cell_of(session)
        there = self.cell_of_region(region) if region else cell
        claim = partial(
            cell.claim, session, agent=agent, workers=workers, previous=previous, room=room, project=project, **asked
        )
        if room and self.several:
            await self._settle(room, session_region(session) or "", asker)
        if there is not cell:
            return await self._claim_across(there, session, edges, previous, claim)
        if quota is None or not self.several:
            return await claim(edges=edges, quota=quota)
        try:
            return await claim(edges=edges, quota=max(0, quota - await self._live_elsewhere(project, cell)))
        except OverLimitError:
            raise over_quota(quota) from None

    async def _claim_across(
        self, there: Cell, session: str, edges: Sequence[str], epoch: int, claim: Callable[..., Awaitable[Claim]]
    ) -> Claim:
        try:
            reserved = await there.reserve(session, edges, epoch=epoch)
        except UnavailableError as error:
            if type(error) is not UnavailableError:
                raise
            raise NoEdgeError(str(error)) from None  # edges of other regions may do
        self._edges |= {reserved.edge: there.name}
        try:
            claimed = await claim(edges=(), guest=reserved)
        except BaseException:
            with suppress(AntiphonError):
                await there.free_guest(session, reserved.edge)
            raise
        return replace(claimed, refused={**reserved.refused, **claimed.refused})

    async def _live_elsewhere(self, project: str, here: Cell) -> int:
        """A project's sessions in other cells, of those that are away as last heard."""

        async def count(cell: Cell) -> int:
            at, known = self._counts.get((cell.name, project), (float("-inf"), 0))
            if time.monotonic() - at > _QUOTA_S:
                known = await cell.live_of(project)
                self._counts[cell.name, project] = time.monotonic(), known
            return known

        others = [cell for cell in self.cells if cell is not here]
        with suppress(UnavailableError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await ask([cell for cell in others if not cell.away], count)
        return sum(self._counts.get((cell.name, project), (0.0, 0))[1] for cell in others)

    async def _free_guest(self, session: str, edge: str) -> None:
        """What it has at an edge of another cell than its record's; it lapses by itself where that cell is away."""
        cell = self._cell_of_edge(edge) if edge else None
        if cell is not None and cell is not self.cell_of(session):
            with suppress(UnavailableError):
                await cell.free_guest(session, edge)

    async def sessions(
        self,
        *,
        live: bool = False,
        limit: int = 100,
        project: str = DEFAULT_PROJECT,
        after: str = "",
        where: Mapping[str, str] | None = None,
    ) -> SessionPage:
        """As Cell.sessions, of all cells that answer: the page says which regions' do not. Raises UnavailableError."""
        pages = await ask(
            self.cells, lambda cell: cell.sessions(live=live, limit=limit, project=project, after=after, where=where)
        )
        if not self.several:
            return pages[self.common.name]
        return merge_pages(
            pages.values(), limit, after, sorted(cell.name for cell in self.cells if cell.name not in pages)
        )

    async def admit(self, *rates: tuple[str, float, int]) -> tuple[float, int]:
        """As Cell.admit, counted in the asking node's region."""
        return await self.home.admit(*rates)

    async def admit_in_all(self, name: str, interval_s: float) -> float:
        """Counts one for the whole cluster, one an interval at most: seconds to wait, 0 where it is admitted.

        Raises UnavailableError.
        """
        return (await self.common.admit((name, interval_s, 1)))[0]

    async def lead(self, task: str, node: str, seconds: float) -> bool:
        """As Cell.lead, for the whole cluster."""
        return await self.common.lead(task, node, seconds)

    # Rooms

    async def room(self, name: str) -> RoomRecord | None:
        """None where nobody is in it. Raises UnavailableError, also where the room's region is away."""
        if not self.several:
            return await self.common.room(name)
        place = await self.common.place_of_room(name)
        found = await self.cell_of_region(place).room(name) if place is not None else None
        if found is not None:
            return found
        answers = await ask(self.cells, lambda cell: cell.room(name))  # the place may have been forgotten
        return next((record for record in answers.values() if record is not None), None)

    async def _settle(self, room: str, region: str, asker: str) -> None:
        """A room begins in one region, whoever else begins it. Raises RoomSettledError, UnavailableError."""
        place = await self.common.place_room(room, region, asker=asker)
        if place != region and await self.cell_of_region(place).room(room) is None:
            place = await self.common.place_room(room, region, over=place, asker=asker)
        if place != region:
            raise room_settled(room)

    async def give_up_room(self, room: str, asker: str) -> None:
        """The room, if it began with this asker and nobody else came, may begin elsewhere. Raises UnavailableError."""
        if self.several:
            await self.common.give_up_room(room, asker)

    async def rooms(self) -> list[RoomRecord]:
        """Rooms with somebody in them, by name, in regions whose Redis answers. Raises UnavailableError."""
        answers = await ask(self.cells, lambda cell: cell.rooms())
        return sorted((room for rooms in answers.values() for room in rooms), key=lambda room: room.name)


class _OneOrder:
    """What several Redises order a worker at once: to drain where one of them says so."""

    def __init__(self, hear: Callable[[Drain | None, int], None] | None) -> None:
        self._hear = hear
        self._orders: dict[str, Drain | None] = {}

    def __call__(self, cell: str, order: Drain | None, now_ms: int) -> None:
        self._orders[cell] = order
        if self._hear is not None:
            self._hear(next((one for one in self._orders.values() if one is not None), None), now_ms)


def _others(all_of_them: Callable[[], Mapping[str, int]], own: Callable[[], Mapping[str, int]]) -> int:
    return len(all_of_them()) - len(own())
