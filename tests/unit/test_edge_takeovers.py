"""Which worker an edge gives a session to that has lost its own: without Redis, which hears of it afterwards."""

from __future__ import annotations

import asyncio
import random
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


class RoomWorld(World):
    """An edge with one room, whose workers answer as chance will."""

    def __init__(self, rng: random.Random, *workers: WorkerRecord) -> None:
        super().__init__(*workers)
        self.rng = rng
        self.pending: list[tuple[str, str]] = []
        """What happened and was not told yet: a session, and the worker that it was asked of, or that it lost ('')."""
        self._seen = 0

    def join(self, at: str) -> None:
        self.call(f"ses_{len(self.book)}", room="kitchen", worker=at)

    def end(self, session: str) -> None:
        self.plane.live.pop(session, None)
        self.book.closed(session)
        self.takeovers.closed(session)
        self.pending = [one for one in self.pending if one[0] != session]

    def lose(self, worker: str) -> None:
        self.plane.up.discard(worker)
        self.plane.refuse_takeover[worker] = ConnectionError("its link is down")
        asked = {session for session, asked_of in self.pending if asked_of == worker}
        self.pending = [one for one in self.pending if one[1] != worker]
        self.pending += [(one, "") for one in asked]
        self.pending += [(one.id, "") for one in self.book if one.worker == worker and one.id not in asked]

    def recover(self) -> None:
        self.plane.up = set(self.plane.targets)
        self.plane.refuse_takeover.clear()

    def step(self) -> bool:
        """One thing is told, or happens."""
        if not self.pending:
            return False
        session, worker = self.pending.pop(self.rng.randrange(len(self.pending)))
        chance = self.rng.random()
        if worker and chance < 0.1:
            self.pending.append((session, worker))
            self.lose(worker)
            if chance < 0.05:
                self.recover()
        elif worker and chance < 0.6:
            self.takeovers.taken(session, 5, 1, 0.1)
        else:
            self.takeovers.orphaned(session, "refused" if worker else "link")
        for one in self.plane.taken_over[self._seen :]:
            self.pending.append((one["session"], one["worker"]))
        self._seen = len(self.plane.taken_over)
        for session in [one.id for one in self.book if one.id not in self.plane.live]:
            self.end(session)
        return True


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


async def test_all_members_of_a_room_are_given_to_one_worker_that_has_places_for_them() -> None:
    small, large = worker("small", capacity=2), worker("large", sessions=10, capacity=20)
    world = World(worker("worker-a"), small, large)
    members = [world.call(f"ses_{name}", room="kitchen") for name in "abc"]
    for member in members:
        world.takeovers.orphaned(member, "link")
    assert world.asked == ["large"] * 3, "though a call of its own would be better off at the other"
    world.takeovers.orphaned(world.call("ses_alone"), "link")
    assert world.asked[-1] == "small"


async def test_who_is_orphaned_late_or_again_goes_where_its_room_is(others: tuple[WorkerRecord, ...]) -> None:
    world = World(*others)
    first, second = (world.call(f"ses_{name}", room="kitchen") for name in "ab")
    world.takeovers.orphaned(first, "link")
    world.takeovers.orphaned(first, "refused")
    assert world.asked == ["worker-b", "worker-c"]
    world.takeovers.taken(first, 5, 2, 0.1)
    world.takeovers.orphaned(second, "link")
    assert world.asked[2:] == ["worker-c"]
    world.takeovers.taken(second, 5, 1, 0.1)
    joined = world.call("ses_c", room="kitchen", worker="worker-c")
    world.plane.up.discard("worker-c")
    for member in (joined, second, first):  # the second worker is lost, too, and the first is back
        world.takeovers.orphaned(member, "link")
    assert len(world.asked) == 6
    assert len(set(world.asked[3:])) == 1


async def test_a_member_that_its_rooms_worker_refuses_ends_and_is_not_served_apart(
    others: tuple[WorkerRecord, ...],
) -> None:
    world = World(*others)
    first, second, third = (world.call(f"ses_{name}", room="kitchen") for name in "abc")
    for member in (first, second, third):
        world.takeovers.orphaned(member, "link")
    world.takeovers.orphaned(first, "refused")  # and is asked for at another, when the others are accepted
    world.takeovers.taken(second, 5, 1, 0.1)
    world.takeovers.taken(first, 5, 2, 0.1)
    world.takeovers.orphaned(third, "refused")
    await until(lambda: set(world.plane.live) == {second}, what="the ends of those who are apart")
    assert world.count("takeovers", reason="link", outcome="room") == 1
    assert world.count("takeovers", reason="link", outcome="no_worker") == 1


@pytest.mark.parametrize("seed", range(100))
async def test_whatever_workers_answer_a_room_is_never_served_by_two(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers, losses and ends in any order: whoever is served at the end is at one worker."""
    rng = random.Random(seed)
    names = [f"worker-{letter}" for letter in "abcd"]
    world = RoomWorld(rng, *(worker(name, capacity=rng.choice((2, 3, 100))) for name in names))
    monkeypatch.setattr(Takeovers, "_end", lambda _, session: world.end(session.id))
    for _ in range(rng.randint(2, 6)):
        world.join("worker-a")
    for _ in range(rng.randint(1, 3)):
        world.lose(rng.choice(names))
        for _ in range(200):
            if not world.step():
                break
        assert not world.pending, (seed, world.pending)
        world.takeovers.gather("kitchen")
        assert len({one.worker for one in world.book}) <= 1, (seed, list(world.book))
        if not len(world.book):
            break
        world.recover()


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
