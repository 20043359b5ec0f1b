"""Gives sessions whose worker is lost to another one of the last known membership whose link is up: Redis is not asked.

The media plane notices the loss, keeps the caller, and asks the worker that is named here. Redis hears of it then.
A room has one worker: its members go where the first of them is accepted, and who is not taken there ends.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from antiphon.errors import AntiphonError, UnavailableError, UnknownSessionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from antiphon.cluster import Membership, WorkerRecord
    from antiphon.edge._media import MediaPlane
    from antiphon.edge.metrics import EdgeMetrics
    from antiphon.edge.sessions import LiveSession, SessionBook

log = structlog.get_logger(__name__)

_LOAD_MS = 100.0
"""A worker that is full counts as so much farther than one that is empty."""
_UNKNOWN_MS = 200.0
"""The round trip of a link that has not measured one."""
_AGAIN_S = 0.05
_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_GATHER_S = 5.0
"""By then each member of a room has lost its worker, or never will."""


class Remembered(Protocol):
    """A session as Redis remembers it."""

    async def take_over(self, epoch: int, *, edge: str, worker: str, number: int) -> None: ...


class Succeeding(Protocol):
    """The part of the cluster that this file needs."""

    def session(self, session: str, /) -> Remembered: ...


@dataclass(slots=True)
class _Search:
    """For a session's next worker."""

    reason: str
    """Why it lost its own."""
    lost: str
    """Its own."""
    tried: set[str]
    asked: str = ""


@dataclass(frozen=True, slots=True)
class _Untold:
    """What Redis has not heard of yet."""

    epoch: int
    worker: str
    number: int


@dataclass(slots=True)
class _Loads:
    """Sessions by worker: as the membership says, and those that were sent there since."""

    membership: Membership | None = None
    sent: Counter[str] = field(default_factory=Counter)

    def of(self, worker: WorkerRecord, more: int = 0) -> float:
        """Of its capacity, with so many sessions more."""
        return (worker.sessions + self.sent[worker.id] + more) / max(1, worker.capacity)


class Takeovers:
    """`members()` is the last known membership."""

    def __init__(
        self,
        plane: MediaPlane,
        book: SessionBook,
        metrics: EdgeMetrics,
        members: Callable[[], Membership | None],
        edge: str,
    ) -> None:
        self._plane = plane
        self._book = book
        self._metrics = metrics
        self._members = members
        self._edge = edge
        self._searches: dict[str, _Search] = {}
        self._loads = _Loads()
        self._untold: dict[str, _Untold] = {}
        self._changed = asyncio.Event()

    def orphaned(self, session_id: str, reason: str) -> None:
        """A session has lost its worker, or the one that was asked."""
        session = self._book.get(session_id)
        if session is None:
            return
        search = self._searches.get(session_id)
        if search is None:
            search = self._searches[session_id] = _Search(reason, session.worker, {session.worker})
        else:
            self._metrics.asked(reason)
        self._ask_next(session, search)

    def _ask_next(self, session: LiveSession, search: _Search) -> None:
        """Asks the best worker that was not asked yet; without one the session ends, and its caller may come back."""
        while (worker := self._next(session, search)) is not None:
            search.tried.add(worker)
            search.asked = worker
            try:
                self._plane.take_over(
                    session.id,
                    epoch=session.epoch,
                    agent=session.agent,
                    worker=worker,
                    metadata=session.metadata,
                    caller=session.caller,
                )
            except (KeyError, ConnectionError):
                self._metrics.asked("link")
            except BlockingIOError:
                search.tried.discard(worker)
                asyncio.get_running_loop().call_later(_AGAIN_S, self._ask_again, session.id, search)
                return
            except PermissionError:  # it has a newer owner, who minds it
                return
            else:
                self._loads.sent[worker] += 1
                return
        log.warning("no other worker for a session", session=session.id, agent=session.agent, lost=sorted(search.tried))
        self._over(session.id, "no_worker")
        self._end(session)

    def _ask_again(self, session_id: str, search: _Search) -> None:
        session = self._book.get(session_id)
        if session is not None and self._searches.get(session_id) is search:
            self._ask_next(session, search)

    def _end(self, session: LiveSession) -> None:
        """On a thread: it waits where the shard's mailbox is full. Where it fails, the shard does it itself, later."""

        def end() -> None:
            try:
                self._plane.close_session(session.id, epoch=session.epoch, reason="worker")
            except PermissionError:
                log.info("session without a worker has a newer owner", session=session.id)

        asyncio.get_running_loop().run_in_executor(None, end)

    def _next(self, session: LiveSession, search: _Search) -> str | None:
        """The worker to ask: for a member of a room where the others are, else where they are asked for."""
        mates = self._mates(session)
        if there := self._settled(mates, search):
            return min(there - search.tried, default=None)
        searches = [found for mate in mates if (found := self._searches.get(mate.id)) is not None]
        searches.sort(key=lambda found: len(found.tried), reverse=True)
        asked = (found.asked for found in searches if found.asked and found.asked not in search.tried)
        return next(asked, None) or self._choose(session, search.tried, 1 + len(mates))

    def _mates(self, session: LiveSession) -> list[LiveSession]:
        """The other members of its room."""
        return [mate for mate in self._book.in_room(session.room) if mate.id != session.id] if session.room else []

    def _settled(self, mates: list[LiveSession], search: _Search) -> set[str]:
        """The worker that its room has by now: those of members that seek none, if its link is up."""
        workers = {mate.worker for mate in mates if mate.id not in self._searches} - {search.lost, ""}
        if not workers:
            return workers
        links = self._links()
        return {worker for worker in workers if links.get(worker, {}).get("connected")}

    def _links(self) -> Mapping[str, Mapping[str, Any]]:
        links: Mapping[str, Mapping[str, Any]] = self._plane.workers()
        return links

    def _choose(self, session: LiveSession, tried: Iterable[str], places: int) -> str | None:
        """The best of those that were not tried, for so many sessions."""
        members = self._members()
        if members is None:
            return None
        if members is not self._loads.membership:
            self._loads = _Loads(members)
        links = self._links()
        fit = [
            worker
            for worker in members.workers
            if worker.id not in tried
            and session.agent in worker.agents
            and worker.serves(session.project)
            and links.get(worker.id, {}).get("connected")
        ]

        def cost(worker: WorkerRecord) -> tuple[bool, bool, float]:
            load, rtt_ms = self._loads.of(worker), links[worker.id].get("rtt_ms")
            distance = _UNKNOWN_MS if rtt_ms is None else float(rtt_ms)
            return worker.draining, self._loads.of(worker, places) > 1, distance + _LOAD_MS * load

        random.shuffle(fit)  # edges that lose a worker at one moment do not all choose the same one of equals
        best = min(fit, key=cost, default=None)
        return best.id if best is not None else None

    def taken(self, session_id: str, epoch: int, number: int, gap_s: float) -> str:
        """A worker has a session that had lost its own. Returns which."""
        search = self._searches.get(session_id)
        worker = search.asked if search is not None else ""
        self._metrics.asked("accepted")
        self._metrics.taken_over(gap_s)
        session = self._book.get(session_id)
        apart = session is not None and search is not None and self._is_apart(session, search)
        self._over(session_id, "room" if apart else "taken")
        self._book.served_by(session_id, "" if apart else worker)  # nobody is to follow one that is apart
        if apart and session is not None:
            self._end_apart(session, worker)
            return worker
        if session is not None and session.room:
            asyncio.get_running_loop().call_later(_GATHER_S, self.gather, session.room)
        self._untold[session_id] = _Untold(epoch, worker, number)
        self._changed.set()
        return worker

    def _is_apart(self, session: LiveSession, search: _Search) -> bool:
        """Whether its room has another worker by now, which refused it, or whose answer came first."""
        there = self._settled(self._mates(session), search)
        return bool(there) and search.asked not in there

    def gather(self, room: str) -> None:
        """Ends members that are not where most are: a link that broke and stood again may have parted them."""
        members = [one for one in self._book.in_room(room) if one.id not in self._searches and one.worker]
        most = Counter(one.worker for one in members).most_common(1)
        for one in members:
            if one.worker != most[0][0]:
                self._end_apart(one, one.worker)

    def _end_apart(self, session: LiveSession, worker: str) -> None:
        """Its caller may come back, to where the others are."""
        log.warning("a member of a room is at another worker than the others", session=session.id, worker=worker)
        self._end(session)

    def closed(self, session_id: str) -> None:
        """The session is over."""
        self._over(session_id, "ended")
        self._untold.pop(session_id, None)

    def _over(self, session_id: str, outcome: str) -> None:
        search = self._searches.pop(session_id, None)
        if search is not None:
            self._metrics.takeover(search.reason, outcome)

    async def run(self, cluster: Succeeding) -> None:
        """Tells Redis who has sessions now, for as long as that takes. Works until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            pause_s = _PAUSE_S
            while self._untold:
                session_id, told = next(iter(self._untold.items()))
                try:
                    await cluster.session(session_id).take_over(
                        told.epoch, edge=self._edge, worker=told.worker, number=told.number
                    )
                except (UnavailableError, UnknownSessionError):  # its record comes with this edge's next renewal
                    if (waits := self._untold.pop(session_id, None)) is not None:
                        self._untold[session_id] = waits  # behind the others
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                    continue
                except AntiphonError as error:  # it has another owner, or has ended
                    log.info("takeover not written", session=session_id, reason=str(error))
                if self._untold.get(session_id) is told:
                    del self._untold[session_id]
