"""Where a room is once its worker or its edge is lost or left, and what is kept of it: against a real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from antiphon.cluster import Claim, Cluster
from antiphon.errors import NoWorkerError, RoomSettledError, StaleEpochError
from tests.support.members import edge, kept, worker

if TYPE_CHECKING:
    from antiphon.cluster.embedded import EmbeddedValkey

ROOM = "kitchen"


async def joined(
    cluster: Cluster, session: str, *, at: str = "edge-a", worker: str = "worker-a", room: str = ROOM
) -> Claim:
    return await cluster.claim(session, agent="parrot", edges=[at], workers=[worker], room=room)


async def place_of(cluster: Cluster) -> tuple[str, str]:
    """The room's edge and worker."""
    found = await cluster.room(ROOM)
    assert found is not None
    return found.edge, found.worker


async def test_who_joins_goes_to_the_worker_that_the_rooms_edge_gave_it_to(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker(), worker("worker-b")):
        members = [await joined(cluster, f"ses_{number}") for number in range(2)]
        for member in members:
            await cluster.session(member.session).take_over(member.epoch, edge="edge-a", worker="worker-b", number=1)
            assert await place_of(cluster) == ("edge-a", "worker-b")
        with pytest.raises(RoomSettledError):
            await joined(cluster, "ses_2")
        third = await joined(cluster, "ses_2", worker="worker-b")
        for member in (*members, third):
            await cluster.session(member.session).release(member.epoch, edge="edge-a")


async def test_a_room_whose_worker_is_lost_is_not_begun_anew_while_its_edge_seeks_another(
    server: EmbeddedValkey,
) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), edge("edge-b"), worker("worker-b")):
        async with kept(cluster, worker()):
            member = await joined(cluster, "ses_1")
        assert await place_of(cluster) == ("edge-a", "worker-a")
        with pytest.raises(RoomSettledError):
            await joined(cluster, "ses_2", at="edge-b", worker="worker-b")
        with pytest.raises(NoWorkerError):
            await joined(cluster, "ses_2")
        await cluster.session("ses_1").take_over(member.epoch, edge="edge-a", worker="worker-b", number=1)
        second = await joined(cluster, "ses_2", worker="worker-b")
        for one in (member, second):
            await cluster.session(one.session).release(one.epoch, edge="edge-a")


async def test_who_is_not_the_rooms_edge_changes_nothing_of_it(server: EmbeddedValkey) -> None:
    """A session of another room, of none, or of an old owner."""
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker(), worker("worker-b")):
        member = await joined(cluster, "ses_1")
        others = [await joined(cluster, "ses_2", room="hall"), await joined(cluster, "ses_3", room="")]
        for other in others:
            await cluster.session(other.session).take_over(other.epoch, edge="edge-a", worker="worker-b", number=1)
        with pytest.raises(StaleEpochError):
            await cluster.session("ses_1").take_over(member.epoch - 1, edge="edge-a", worker="worker-b", number=1)
        assert await place_of(cluster) == ("edge-a", "worker-a")
        for one in (member, *others):
            await cluster.session(one.session).release(one.epoch, edge="edge-a")


async def test_a_rooms_checkpoint_is_read_by_any_member_and_fenced_as_a_sessions_is(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker(), worker("worker-b")):
        first, second = [await joined(cluster, f"ses_{number}") for number in range(2)]
        await cluster.session("ses_0").note_checkpoint(first.epoch, "1", edge="edge-a", room=True)
        assert await cluster.session("ses_1").checkpoint(room=True) == "1"
        assert await cluster.session("ses_0").checkpoint() is None, "it is not the session's own"

        await cluster.session("ses_0").take_over(first.epoch, edge="edge-a", worker="worker-b", number=1)
        with pytest.raises(StaleEpochError):
            await cluster.session("ses_0").note_checkpoint(first.epoch, "2", edge="edge-a", room=True)
        await cluster.session("ses_0").note_checkpoint(first.epoch, "3", edge="edge-a", takeovers=1, room=True)
        assert await cluster.session("ses_1").checkpoint(room=True) == "3"

        await cluster.session("ses_0").release(first.epoch, edge="edge-a")
        assert await cluster.session("ses_1").checkpoint(room=True) == "3", "as long as somebody is there"
        await cluster.session("ses_1").release(second.epoch, edge="edge-a")
        again = await joined(cluster, "ses_2")
        assert await cluster.session("ses_2").checkpoint(room=True) is None, "another life of the room"
        await cluster.session("ses_2").release(again.epoch, edge="edge-a")


async def test_a_session_in_no_room_has_no_rooms_checkpoint(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker()):
        alone = await joined(cluster, "ses_1", room="")
        with pytest.raises(StaleEpochError):
            await cluster.session("ses_1").note_checkpoint(alone.epoch, "1", edge="edge-a", room=True)
        assert await cluster.session("ses_1").checkpoint(room=True) is None
        await cluster.session("ses_1").release(alone.epoch, edge="edge-a")


async def moved(cluster: Cluster, before: Claim, *edges: str, leaves: str = "", worker: str = "worker-a") -> Claim:
    return await cluster.claim(
        before.session,
        agent="parrot",
        edges=edges,
        workers=[worker],
        room=ROOM,
        previous=before.epoch,
        room_leaves=leaves,
    )


async def test_the_first_member_that_leaves_takes_the_room_along_and_the_others_follow(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), edge("edge-b"), edge("edge-c"), worker()):
        first, second = [await joined(cluster, f"ses_{number}") for number in range(2)]
        with pytest.raises(RoomSettledError):
            await moved(cluster, first, "edge-b")
        there = await moved(cluster, first, "edge-b", "edge-c", leaves="edge-a")
        assert (there.edge.id, await place_of(cluster)) == ("edge-b", ("edge-b", "worker-a"))
        with pytest.raises(RoomSettledError):
            await moved(cluster, second, "edge-c", leaves="edge-a")
        with pytest.raises(RoomSettledError):
            await joined(cluster, "ses_late")
        followed = await moved(cluster, second, "edge-b")
        late = await joined(cluster, "ses_late", at="edge-b")
        for one in (there, followed, late):
            await cluster.session(one.session).release(one.epoch, edge="edge-b")


async def test_of_members_that_leave_at_once_one_decides_where_all_go(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), edge("edge-b"), edge("edge-c"), worker()):
        members = [await joined(cluster, f"ses_{number}") for number in range(8)]

        async def leave(number: int, member: Claim) -> Claim:
            targets = ("edge-b", "edge-c") if number % 2 else ("edge-c", "edge-b")
            try:
                return await moved(cluster, member, *targets, leaves="edge-a")
            except RoomSettledError:
                return await moved(cluster, member, (await place_of(cluster))[0])

        there = await asyncio.gather(*(leave(number, member) for number, member in enumerate(members)))
        assert {one.edge.id for one in there} == {(await place_of(cluster))[0]}
        for one in there:
            await cluster.session(one.session).release(one.epoch, edge=one.edge.id)


async def test_a_room_goes_to_an_edge_that_has_places_for_all_of_it(server: EmbeddedValkey) -> None:
    small = edge("edge-small", capacity=2)
    async with Cluster(server.url) as cluster, kept(cluster, edge(), small, edge("edge-c"), worker()):
        members = [await joined(cluster, f"ses_{number}") for number in range(3)]
        there = await moved(cluster, members[0], "edge-small", "edge-c", leaves="edge-a")
        assert there.edge.id == "edge-c"
        assert "full" in there.refused["edge-small"]
        for one in (there, *members[1:]):
            await cluster.session(one.session).release(one.epoch)


async def test_a_room_whose_first_member_came_to_nothing_elsewhere_is_where_it_was(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), edge("edge-b"), worker()):
        first, second = [await joined(cluster, f"ses_{number}") for number in range(2)]
        there = await moved(cluster, first, "edge-b", leaves="edge-a")
        await cluster.session("ses_0").revert(there.epoch, edge="edge-b")
        assert await place_of(cluster) == ("edge-a", "worker-a")

        there = await moved(cluster, first, "edge-b", leaves="edge-a")
        followed = await moved(cluster, second, "edge-b")
        await cluster.session("ses_0").revert(there.epoch, edge="edge-b")
        assert await place_of(cluster) == ("edge-b", "worker-a"), "another has followed"
        await cluster.session("ses_1").revert(followed.epoch, edge="edge-b")
        assert await place_of(cluster) == ("edge-a", "worker-a")
        for one in (first, second):
            await cluster.session(one.session).release(one.epoch, edge="edge-a")


async def test_a_room_that_is_over_is_begun_anew_by_who_leaves_its_edge(server: EmbeddedValkey) -> None:
    """Its edge is gone, and so the room is, as far as this memory knows."""
    async with Cluster(server.url) as cluster, kept(cluster, edge("edge-b"), worker()):
        async with kept(cluster, edge()):
            members = [await joined(cluster, f"ses_{number}") for number in range(2)]
        assert await cluster.room(ROOM) is None
        there = [await moved(cluster, one, "edge-b") for one in members]
        assert await place_of(cluster) == ("edge-b", "worker-a")
        for one in there:
            await cluster.session(one.session).release(one.epoch, edge="edge-b")
