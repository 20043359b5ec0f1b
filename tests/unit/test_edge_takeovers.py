"""Which worker an edge gives a session to that has lost its own: without Redis, which hears of it afterwards."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from antiphon.cluster import Membership, WorkerRecord
from antiphon.edge.metrics import EdgeMetrics
from antiphon.edge.sessions import LiveSession, SessionBook
from antiphon.edge.takeovers import Takeovers
from antiphon.errors import StaleEpochError, UnavailableError
from tests.support.members import worker
from tests.support.plane import FakePlane
from tests.support.tasks import end
from tests.support.wait import until


class World:
    """An edge with a session at worker-a, and links to all workers of the membership."""

    def __init__(self, *workers: WorkerRecord) -> None:
        self.registry = CollectorRegistry()
        self.plane, self.book, self.metrics = FakePlane(), SessionBook(), EdgeMetrics(self.registry)
        self.membership: Membership | None = Membership(workers=workers)
        plane = cast("Any", self.plane)
        self.takeovers = Takeovers(plane, self.book, self.metrics, lambda: self.membership, "edge-a")
        for one in workers:
            self.plane.connect_worker(one.id, one.link)

    def call(self, session: str = "ses_x", **more: Any) -> str:
        known = {"agent": "parrot", "worker": "worker-a", "metadata": '{"a":1}', "caller": "192.0.2.7", **more}
        self.book.opened(LiveSession(session, 5, **known))
        self.plane.live[session] = 5
        return session

    @property
    def asked(self) -> list[str]:
        return [one["worker"] for one in self.plane.taken_over]

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"antiphon_edge_{name}_total", labels) or 0.0


@pytest.fixture
def others() -> tuple[WorkerRecord, ...]:
    return worker("worker-a"), worker("worker-b"), worker("worker-c")


@pytest.fixture(autouse=True)
def _no_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.edge.takeovers.random.shuffle", lambda _: None)


async def test_another_worker_is_asked_with_all_that_the_first_one_was_told(others: tuple[WorkerRecord, ...]) -> None:
    world = World(*others)
    session = world.call()
    world.takeovers.orphaned(session, "link")
    assert world.plane.taken_over == [
        {
            "session": session,
            "epoch": 5,
            "worker": "worker-b",
            "agent": "parrot",
            "metadata": '{"a":1}',
            "caller": "192.0.2.7",
        }
    ]
    assert world.takeovers.taken(session, 5, 1, 0.01) == "worker-b"
    known = world.book.get(session)
    assert known is not None
    assert known.worker == "worker-b"
    assert world.count("takeovers", reason="link", outcome="taken") == 1


async def test_who_lacks_the_agent_the_project_or_a_link_is_not_asked() -> None:
    world = World(
        worker("worker-a"),
        worker("deaf", agents=("other",)),
        worker("private", projects=("theirs",)),
        worker("cut-off"),
        worker("worker-z"),
    )
    world.plane.up.discard("cut-off")
    world.takeovers.orphaned(world.call(project="ours"), "link")
    assert world.asked == ["worker-z"]


async def test_the_nearer_and_emptier_is_preferred_and_who_drains_or_is_full_comes_last() -> None:
    drains, full = worker("drains", draining=True), worker("full", sessions=100)
    busy, free = worker("busy", sessions=60), worker("free", sessions=10)
    world = World(worker("worker-a"), drains, full, busy, free)
    session = world.call()
    for _ in range(5):
        world.takeovers.orphaned(session, "refused")
    assert world.asked == ["free", "busy", "full", "drains"]


async def test_many_sessions_of_one_worker_are_spread_over_the_others() -> None:
    world = World(worker("worker-a"), *(worker(name, capacity=10) for name in ("b", "c", "d")))
    for number in range(9):
        world.takeovers.orphaned(world.call(f"ses_{number}"), "link")
    assert sorted(world.asked) == sorted(["b", "c", "d"] * 3)


async def test_a_session_that_nobody_can_take_ends_as_it_would_without_others() -> None:
    world = World(worker("worker-a"))
    session = world.call()
    world.takeovers.orphaned(session, "link")
    closed = await until(
        lambda: [one for one in world.plane.take_events() if one[0] == "session_closed"], what="its end"
    )
    assert closed[0][2]["reason"] == "worker"
    assert world.count("takeovers", reason="link", outcome="no_worker") == 1


async def test_where_no_membership_was_ever_seen_nobody_can() -> None:
    world = World(worker("worker-a"), worker("worker-b"))
    world.membership = None
    session = world.call()
    world.takeovers.orphaned(session, "link")
    await until(lambda: session not in world.plane.live, what="its end")


async def test_a_standby_that_is_dead_itself_leaves_it_to_the_next(others: tuple[WorkerRecord, ...]) -> None:
    world = World(*others)
    session = world.call()
    world.plane.refuse_takeover["worker-b"] = ConnectionError("its link is down")
    world.takeovers.orphaned(session, "link")
    assert world.asked == ["worker-c"]
    assert world.count("takeover_requests", outcome="link") == 1


async def test_a_shard_with_too_much_to_do_is_asked_again(others: tuple[WorkerRecord, ...]) -> None:
    world = World(*others)
    world.plane.refuse_takeover["worker-b"] = BlockingIOError("full")
    world.takeovers.orphaned(world.call(), "link")
    assert world.asked == []
    world.plane.refuse_takeover.clear()
    await until(lambda: world.asked == ["worker-b"], what="another try")


async def test_an_end_while_a_worker_is_sought_is_the_end_of_it(others: tuple[WorkerRecord, ...]) -> None:
    world = World(*others)
    session = world.call()
    world.takeovers.orphaned(session, "link")
    world.book.closed(session)
    world.takeovers.closed(session)
    world.takeovers.orphaned(session, "silent")
    assert world.asked == ["worker-b"]
    assert world.count("takeovers", reason="link", outcome="ended") == 1


async def test_redis_hears_of_it_however_long_it_is_away(others: tuple[WorkerRecord, ...]) -> None:
    told: list[tuple[str, int, str, str, int]] = []
    failures = [UnavailableError("away"), StaleEpochError("another owner")]

    class Memory:
        def __init__(self, session: str = "") -> None:
            self._session = session

        def session(self, session: str) -> Memory:
            return Memory(session)

        async def take_over(self, epoch: int, *, edge: str, worker: str, number: int) -> None:
            told.append((self._session, epoch, edge, worker, number))
            if failures:
                raise failures.pop(0)

    world = World(*others)
    running = asyncio.create_task(world.takeovers.run(Memory()))
    for session in ("ses_x", "ses_y"):
        world.takeovers.orphaned(world.call(session), "link")
        world.takeovers.taken(session, 5, 1, 0.01)
    await until(lambda: len(told) == 3, what="both are told of")
    assert told == [
        ("ses_x", 5, "edge-a", "worker-b", 1),
        ("ses_y", 5, "edge-a", "worker-c", 1),
        ("ses_x", 5, "edge-a", "worker-b", 1),
    ]
    await end(running)
