"""Where a room is once its worker is lost, and what is kept of it: against a real server."""

from __future__ import annotations

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
            await cluster.take_over(member.session, member.epoch, edge="edge-a", worker="worker-b", number=1)
            assert await place_of(cluster) == ("edge-a", "worker-b")
        with pytest.raises(RoomSettledError):
            await joined(cluster, "ses_2")
        third = await joined(cluster, "ses_2", worker="worker-b")
        for member in (*members, third):
            await cluster.release(member.session, member.epoch, edge="edge-a")


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
        await cluster.take_over("ses_1", member.epoch, edge="edge-a", worker="worker-b", number=1)
        second = await joined(cluster, "ses_2", worker="worker-b")
        for one in (member, second):
            await cluster.release(one.session, one.epoch, edge="edge-a")


async def test_who_is_not_the_rooms_edge_changes_nothing_of_it(server: EmbeddedValkey) -> None:
    """A session of another room, of none, or of an old owner."""
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker(), worker("worker-b")):
        member = await joined(cluster, "ses_1")
        others = [await joined(cluster, "ses_2", room="hall"), await joined(cluster, "ses_3", room="")]
        for other in others:
            await cluster.take_over(other.session, other.epoch, edge="edge-a", worker="worker-b", number=1)
        with pytest.raises(StaleEpochError):
            await cluster.take_over("ses_1", member.epoch - 1, edge="edge-a", worker="worker-b", number=1)
        assert await place_of(cluster) == ("edge-a", "worker-a")
        for one in (member, *others):
            await cluster.release(one.session, one.epoch, edge="edge-a")


async def test_a_rooms_checkpoint_is_read_by_any_member_and_fenced_as_a_sessions_is(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker(), worker("worker-b")):
        first, second = [await joined(cluster, f"ses_{number}") for number in range(2)]
        await cluster.note_checkpoint("ses_0", first.epoch, "1", edge="edge-a", room=True)
        assert await cluster.checkpoint("ses_1", room=True) == "1"
        assert await cluster.checkpoint("ses_0") is None, "it is not the session's own"

        await cluster.take_over("ses_0", first.epoch, edge="edge-a", worker="worker-b", number=1)
        with pytest.raises(StaleEpochError):
            await cluster.note_checkpoint("ses_0", first.epoch, "2", edge="edge-a", room=True)
        await cluster.note_checkpoint("ses_0", first.epoch, "3", edge="edge-a", takeovers=1, room=True)
        assert await cluster.checkpoint("ses_1", room=True) == "3"

        await cluster.release("ses_0", first.epoch, edge="edge-a")
        assert await cluster.checkpoint("ses_1", room=True) == "3", "as long as somebody is there"
        await cluster.release("ses_1", second.epoch, edge="edge-a")
        again = await joined(cluster, "ses_2")
        assert await cluster.checkpoint("ses_2", room=True) is None, "another life of the room"
        await cluster.release("ses_2", again.epoch, edge="edge-a")


async def test_a_session_in_no_room_has_no_rooms_checkpoint(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker()):
        alone = await joined(cluster, "ses_1", room="")
        with pytest.raises(StaleEpochError):
            await cluster.note_checkpoint("ses_1", alone.epoch, "1", edge="edge-a", room=True)
        assert await cluster.checkpoint("ses_1", room=True) is None
        await cluster.release("ses_1", alone.epoch, edge="edge-a")
