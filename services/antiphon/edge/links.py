"""Keeps a link to each live worker: as membership says, and at once to one that signaling names first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from antiphon.errors import NoWorkerError

if TYPE_CHECKING:
    from antiphon.edge._media import MediaPlane

log = structlog.get_logger(__name__)


class LinkKeeper:
    """Dials, forgets and waits for links.

    A link that is up stays, whatever membership says: live calls do not depend on Redis.
    """

    def __init__(self, plane: MediaPlane, *, patience: float = 2.0) -> None:
        """patience: seconds that a new session waits for its worker's link."""
        self._plane = plane
        self._patience = patience
        self._members: frozenset[str] = frozenset()
        self._targets: dict[str, str] = {}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def apply(self, workers: dict[str, str]) -> None:
        """Takes link addresses (host:port) by worker id as the whole truth about who should be linked."""
        self._members = frozenset(workers)
        for worker, target in workers.items():
            self._dial(worker, target)
        for worker in set(self._targets) - self._members:
            self._forget_if_useless(worker)

    async def ensure(self, worker: str, target: str) -> None:
        """Returns once the link is up. Raises NoWorkerError when it is not in time."""
        self._dial(worker, target)
        if self._connected(worker):
            return
        arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(worker, []).append(arrival)
        try:
            async with asyncio.timeout(self._patience):
                await arrival
        except TimeoutError:
            msg = f"the link to worker {worker} at {target} is down: does the worker run, and can this edge reach it?"
            raise NoWorkerError(msg) from None
        finally:
            self._waiting[worker].remove(arrival)
            if not self._waiting[worker]:
                del self._waiting[worker]
            self._forget_if_useless(worker)

    def link_up(self, worker: str) -> None:
        for arrival in self._waiting.get(worker, ()):
            if not arrival.done():
                arrival.set_result(None)
        log.info("link up", worker=worker, target=self._targets.get(worker))

    def link_down(self, worker: str, reason: str) -> None:
        log.warning("link down", worker=worker, target=self._targets.get(worker), reason=reason)
        self._forget_if_useless(worker)

    def states(self) -> dict[str, bool]:
        """Whether each kept link is up, by worker id."""
        return {worker: bool(state["connected"]) for worker, state in self._plane.workers().items()}

    def round_trips(self) -> dict[str, float]:
        """In ms, by worker id, of links that are up and have measured one."""
        states = self._plane.workers().items()
        trips = {worker: state["rtt_ms"] for worker, state in states if state["connected"]}
        return {worker: round(ms, 2) for worker, ms in trips.items() if isinstance(ms, float)}

    def _dial(self, worker: str, target: str) -> None:
        known = self._targets.get(worker)
        if known == target:
            return
        if known is not None:
            log.info("worker moved", worker=worker, before=known, target=target)
            self._plane.disconnect_worker(worker)
        self._targets[worker] = target
        self._plane.connect_worker(worker, target)

    def _forget_if_useless(self, worker: str) -> None:
        if worker in self._members or worker in self._waiting or worker not in self._targets or self._connected(worker):
            return
        log.info("worker gone", worker=worker, target=self._targets.pop(worker))
        self._plane.disconnect_worker(worker)

    def _connected(self, worker: str) -> bool:
        state = self._plane.workers().get(worker)
        return state is not None and bool(state["connected"])
