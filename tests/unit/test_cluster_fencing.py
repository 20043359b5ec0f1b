"""Who owns a session after failovers that lost writes, to servers whose clocks are off: against a real server."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from antiphon.cluster import Claim, Cluster
from antiphon.cluster.records import RECORD_S, SLOT_S
from antiphon.errors import StaleEpochError, UnknownSessionError
from tests.support.clock_shift import ClockShift
from tests.support.cluster import Valkey
from tests.support.members import edge, kept, worker
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from antiphon.cluster.embedded import EmbeddedValkey

SESSION = "ses_x"
EDGES = ("edge-a", "edge-b", "edge-c")


async def claim(cluster: Cluster, at: str, previous: int = 0) -> Claim:
    return await cluster.claim(SESSION, agent="parrot", edges=[at], workers=["worker-a"], previous=previous)


async def hold(cluster: Cluster, at: str, epoch: int) -> bool:
    """What an edge does each second. Whether it may keep the session."""
    times = round(SLOT_S * 1000), round(RECORD_S * 1000)
    return not await cluster.common._functions.call("hold", "edge", at, "frankfurt", *times, SESSION, epoch)


async def test_of_two_owners_at_one_epoch_the_edge_decides(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, *map(edge, EDGES), worker()):
        owner = await claim(cluster, "edge-a")
        assert await hold(cluster, "edge-a", owner.epoch)
        assert not await hold(cluster, "edge-b", owner.epoch)
        others = (
            cluster.session(SESSION).update(owner.epoch, at="edge-b", state="live"),
            cluster.session(SESSION).release(owner.epoch, edge="edge-b"),
            cluster.session(SESSION).revert(owner.epoch, edge="edge-b"),
            cluster.session(SESSION).note_checkpoint(owner.epoch, "1", edge="edge-b"),
        )
        for told in others:
            with pytest.raises(StaleEpochError):
                await told
        record = await cluster.session(SESSION).record()
        assert record is not None
        assert (record.edge, record.state) == ("edge-a", "live")
        await cluster.session(SESSION).release(owner.epoch, edge="edge-a")


async def test_no_epoch_is_given_again_that_an_edge_has_told_of(server: EmbeddedValkey) -> None:
    far_ahead = 1 << 47
    async with Cluster(server.url) as cluster, kept(cluster, *map(edge, EDGES), worker()):
        assert await hold(cluster, "edge-a", far_ahead)
        async with Cluster(server.url) as other:
            new = await other.claim("ses_y", agent="parrot", edges=["edge-b"], workers=["worker-a"])
    assert new.epoch == far_ahead + 1


@dataclass
class World:
    """A server that may lose its last writes and its time, and edges that remember which sessions they have."""

    valkey: Redis
    clock: ClockShift
    nodes: tuple[Cluster, Cluster]
    held: dict[str, int] = field(default_factory=dict)
    """Epochs by edge."""
    given: list[tuple[int, str]] = field(default_factory=list)
    kept: dict[Any, Any] = field(default_factory=dict)

    async def save(self, rng: random.Random) -> None:
        """What a replica has heard up to now."""
        keys = await self.valkey.keys("*:session:*") + await self.valkey.keys("*:epoch")
        self.kept = {key: value for key in keys if (value := await self.valkey.dump(key)) is not None}

    async def fail_over(self, rng: random.Random) -> None:
        """All that came since is lost, and the new server's clock is another one."""
        for key in await self.valkey.keys("*:session:*") + await self.valkey.keys("*:epoch"):
            await self.valkey.delete(key)
        for key, value in self.kept.items():
            await self.valkey.restore(key, 0, value)
        await self.clock.set_on(self.valkey, rng.choice((-30, -10, -1, 0, 5)))

    async def move(self, rng: random.Random) -> None:
        node = rng.choice(self.nodes)
        record = await node.session(SESSION).record()
        at = rng.choice(EDGES)
        await node.members()  # as each placement begins
        with suppress(StaleEpochError, UnknownSessionError):
            found = await claim(node, at, record.epoch if record else 0)
            if (found.epoch, at) in self.given:  # an edge takes no epoch that it has or had
                await node.session(SESSION).revert(found.epoch, edge=at)
                return
            self.held[at] = found.epoch
            self.given.append((found.epoch, at))

    async def renew(self, rng: random.Random) -> None:
        for at in rng.sample(EDGES, len(EDGES)):
            if at in self.held and not await hold(self.nodes[0], at, self.held[at]):
                del self.held[at]

    async def tell(self, rng: random.Random) -> None:
        """An edge that had the session once, and lost it, says something of it."""
        epoch, at = rng.choice(self.given or [(1, EDGES[0])])
        before = await self.nodes[0].session(SESSION).record()
        if before is None or (epoch, at) == (before.epoch, before.edge) or epoch > before.epoch:
            return
        with pytest.raises(StaleEpochError):
            await self.nodes[0].session(SESSION).release(epoch, {"reason": "bye"}, edge=at)
        after = await self.nodes[0].session(SESSION).record()
        assert after is not None
        assert replace(after, state=before.state) == before  # claimed or lost: that is read from the clock, which moves
        assert after.state != "ended"


@pytest.fixture
def clock(tmp_path: Path) -> ClockShift:
    return ClockShift(tmp_path)


@pytest.fixture
def shifted(tmp_path: Path, clock: ClockShift) -> Iterator[Valkey]:
    found = Valkey(tmp_path, clock.env)
    found.start()
    yield found
    found.kill()


async def test_whatever_failovers_lose_a_session_has_one_owner_once_its_edges_have_told(
    shifted: Valkey, clock: ClockShift
) -> None:
    seed = int(os.environ.get("ANTIPHON_SEED") or random.randrange(1 << 32))
    rng = random.Random(seed)
    async with (
        Redis.from_url(shifted.url) as valkey,
        Cluster(shifted.url, move_s=0.0, lease_s=3600) as one,
        Cluster(shifted.url, move_s=0.0, lease_s=3600) as two,
        kept(one, *map(edge, EDGES), worker()),
    ):
        for _ in range(25):
            await valkey.delete(*await valkey.keys("*:session:*") or ["none"])
            world = World(valkey, clock, (one, two))
            for _ in range(12):
                await rng.choice((world.save, world.fail_over, world.move, world.move, world.renew, world.tell))(rng)
            await world.renew(rng)
            await world.renew(rng)
            assert len(world.held) <= 1, (seed, world.held, world.given)
            record = await one.session(SESSION).record()
            for at, epoch in world.held.items():
                assert record is not None
                assert (record.edge, record.epoch) == (at, epoch), seed


async def test_a_clock_that_is_set_back_gives_no_session_that_moves_two_edges_for_longer(
    shifted: Valkey, clock: ClockShift
) -> None:
    async with (
        Redis.from_url(shifted.url) as valkey,
        Cluster(shifted.url, move_s=0.3, lease_s=3600) as cluster,
        kept(cluster, *map(edge, EDGES), worker()),
    ):
        first = await claim(cluster, "edge-a")
        second = await claim(cluster, "edge-b", first.epoch)
        assert await hold(cluster, "edge-b", second.epoch)
        await clock.set_on(valkey, -600)
        assert await hold(cluster, "edge-a", first.epoch), "the move may still go on"

        async def left() -> bool:
            return not await hold(cluster, "edge-a", first.epoch)

        await until(left, seconds=10, what="an edge that lets go")
        assert await hold(cluster, "edge-b", second.epoch)
        assert await cluster.session(SESSION).order_move(second.epoch, "edge-c"), "it may be asked to move again"


async def test_a_server_whose_clock_is_set_back_gives_newer_epochs_still(shifted: Valkey, clock: ClockShift) -> None:
    async with (
        Redis.from_url(shifted.url) as valkey,
        Cluster(shifted.url, lease_s=3600) as cluster,
        kept(cluster, *map(edge, EDGES), worker()),
    ):
        first = await claim(cluster, "edge-a")
        await clock.set_on(valkey, -600)
        second = await claim(cluster, "edge-b", first.epoch)
        new = await cluster.claim("ses_y", agent="parrot", edges=["edge-b"], workers=["worker-a"])
    assert first.epoch < second.epoch < new.epoch


async def test_a_worker_that_lost_its_session_to_another_is_refused(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker(), worker("worker-b")):
        owner = await claim(cluster, "edge-a")
        await cluster.session(SESSION).note_checkpoint(owner.epoch, "1", edge="edge-a")

        await cluster.session(SESSION).take_over(owner.epoch, edge="edge-a", worker="worker-b", number=1)

        record = await cluster.session(SESSION).record()
        assert record is not None
        assert (record.worker, record.epoch) == ("worker-b", owner.epoch)
        with pytest.raises(StaleEpochError):
            await cluster.session(SESSION).note_checkpoint(owner.epoch, "2", edge="edge-a")
        assert await cluster.session(SESSION).checkpoint() == "1"
        await cluster.session(SESSION).note_checkpoint(owner.epoch, "3", edge="edge-a", takeovers=1)
        times = round(SLOT_S * 1000), round(RECORD_S * 1000)
        for name, stale in (("worker-a", [SESSION]), ("worker-b", [])):
            assert (
                await cluster.common._functions.call("hold", "worker", name, "", *times, SESSION, owner.epoch) == stale
            )
        assert {one.id: one.sessions for one in await cluster.workers()} == {"worker-a": 0, "worker-b": 1}
        with pytest.raises(StaleEpochError):
            await cluster.session(SESSION).take_over(owner.epoch, edge="edge-b", worker="worker-a", number=2)
        await cluster.session(SESSION).release(owner.epoch, edge="edge-a")
        with pytest.raises(StaleEpochError):
            await cluster.session(SESSION).take_over(owner.epoch, edge="edge-a", worker="worker-a", number=2)


async def test_a_checkpoint_of_the_new_worker_fences_the_old_one_before_the_edge_has_told(
    server: EmbeddedValkey,
) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker()):
        owner = await claim(cluster, "edge-a")
        await cluster.session(SESSION).note_checkpoint(owner.epoch, "new", edge="edge-a", takeovers=1)
        with pytest.raises(StaleEpochError):
            await cluster.session(SESSION).note_checkpoint(owner.epoch, "old", edge="edge-a")
        assert await cluster.session(SESSION).checkpoint() == "new"
        await cluster.session(SESSION).release(owner.epoch, edge="edge-a")


async def test_a_claim_that_is_written_late_does_not_bring_the_lost_worker_back(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge(), worker(), worker("worker-b")):
        epoch = cluster.next_epoch()
        assert await hold(cluster, "edge-a", epoch)  # the edge tells first of a session placed while Redis was away
        await cluster.session(SESSION).take_over(epoch, edge="edge-a", worker="worker-b", number=1)
        late = Claim(SESSION, epoch, edge(), worker())
        await cluster.session(SESSION).adopt(late, 1, {"agent": "parrot"})
        record = await cluster.session(SESSION).record()
        assert record is not None
        assert (record.worker, record.agent) == ("worker-b", "parrot")
        await cluster.session(SESSION).release(epoch, edge="edge-a")
