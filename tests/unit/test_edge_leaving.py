"""Whom an edge that drains asks to leave by itself: members of rooms that have no worker who would."""

from __future__ import annotations

from typing import Any, cast

from antiphon.cluster import Membership
from antiphon.edge.leaving import Leaving
from antiphon.edge.sessions import LiveSession, SessionBook
from tests.support.members import edge
from tests.support.plane import FakePlane


class World:
    """An edge that drains, beside another."""

    def __init__(self) -> None:
        self.plane, self.book = FakePlane(), SessionBook()
        self.drains = True
        self.members: Membership | None = Membership((edge("edge-a", draining=True), edge("edge-b")))
        plane = cast("Any", self.plane)
        self.leaving = Leaving(plane, self.book, lambda: self.drains, lambda: self.members, "edge-a")

    def call(self, session: str, room: str, worker: str = "") -> None:
        self.book.opened(LiveSession(session, 5, "", worker, room=room))
        self.plane.live[session] = 5

    def room(self, name: str, count: int) -> None:
        for number in range(count):
            self.call(f"ses_{name}_{number}", name)

    def ended(self, session: str) -> None:
        self.book.closed(session)
        del self.plane.live[session]


def test_members_of_rooms_without_a_worker_are_asked_all_of_a_room_at_once_and_again_while_they_stay() -> None:
    world = World()
    world.room("hall", 15)
    world.room("kitchen", 30)
    world.room("attic", 2)
    world.call("ses_served", "cellar", worker="worker-a")
    world.call("ses_alone", "", worker="worker-a")
    assert [world.leaving.step(at) for at in (0.0, 0.25, 0.5)] == [45, 2, 0]
    assert len(set(world.plane.asked_to_move)) == 47
    world.ended("ses_attic_0")
    assert world.leaving.step(10.3) == 45
    assert world.leaving.step(10.6) == 1


def test_nobody_is_asked_where_the_edge_takes_sessions_or_there_is_nowhere_to_go() -> None:
    world = World()
    world.room("hall", 3)
    for members in (None, Membership((edge("edge-a"),)), Membership((edge("edge-a"), edge("edge-b", draining=True)))):
        world.members = members
        assert world.leaving.step(0.0) == 0
    world.members = Membership((edge("edge-a"), edge("edge-b")))
    world.drains = False
    assert world.leaving.step(0.0) == 0
    world.drains = True
    assert world.leaving.step(0.0) == 3


def test_a_session_that_has_a_newer_owner_holds_up_nobody() -> None:
    world = World()
    world.room("hall", 3)
    world.plane.live["ses_hall_0"] = 6
    assert world.leaving.step(0.0) == 3
    assert sorted(world.plane.asked_to_move) == ["ses_hall_1", "ses_hall_2"]
