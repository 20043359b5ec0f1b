"""Regions with a Redis of their own: what touches which, and what the others do when one is away."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from antiphon.cluster.merging import cursor_of, merge_pages, positions_in
from antiphon.cluster.records import SessionPage, SessionRecord
from antiphon.errors import (
    NoEdgeError,
    NoWorkerError,
    OverLimitError,
    RoomSettledError,
    StaleEpochError,
    UnavailableError,
    UnknownMemberError,
)
from antiphon.ids import new_session_id
from tests.support.members import kept, worker
from tests.support.regions import Regions, edge_f, edge_t, everybody, regions
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.cluster import Claim, Cluster, Drain


@pytest.fixture
async def there() -> AsyncIterator[Regions]:
    async with regions() as found:
        yield found


async def placed(cluster: Cluster, region: str, **wishes: Any) -> Claim:
    """A new session there."""
    name = "edge-f" if region == "frankfurt" else "edge-t"
    wished = {"agent": "echo", "edges": [name], "workers": ["worker-a"], "region": region, **wishes}
    return await cluster.claim(new_session_id(region), **wished)


def counted(cluster: Cluster) -> dict[str, list[str]]:
    """From now on: what each cell is asked, by its name."""
    asked: dict[str, list[str]] = {cell.name: [] for cell in cluster.cells}

    def count(name: str, functions: Any) -> None:
        call = functions.call

        async def counting(function: str, *arguments: Any) -> Any:
            asked[name].append(function)
            return await call(function, *arguments)

        functions.call = counting

    for cell in cluster.cells:
        count(cell.name, cell._functions)
    return asked


async def slots(cluster: Cluster, region: str, kind: str, member: str) -> set[str]:
    functions = cluster.cell_of_region(region)._functions
    found = await (await functions._redis.server("")).zrange(f"{functions.prefix}:slots:{kind}:{member}", 0, -1)
    return {str(session) for session in found}


async def test_a_claim_and_all_that_follows_touch_the_one_redis_that_the_sessions_id_names(there: Regions) -> None:
    async with there.cluster("frankfurt") as cluster, everybody(there):
        asked = counted(cluster)
        claim = await placed(cluster, "tokyo", metadata={"name": "Ada"})
        await cluster.session(claim.session).update(claim.epoch, at="edge-t", state="live")
        await cluster.session(claim.session).note_checkpoint(claim.epoch, "{}")
        record = await cluster.session(claim.session).record()
        assert record is not None
        assert (record.region, record.edge, record.metadata) == ("tokyo", "edge-t", {"name": "Ada"})
        await cluster.session(claim.session).release(claim.epoch, {"reason": "bye"}, edge="edge-t")
        assert asked == {
            "all": [],
            "frankfurt": [],
            "tokyo": ["claim", "update", "note_checkpoint", "session", "release"],
        }


async def test_edges_register_in_their_region_alone_and_workers_everywhere(there: Regions) -> None:
    async with there.cluster("tokyo") as cluster, everybody(there):
        found = {}
        for cell in cluster.cells:
            await until(partial(_has_worker, cell))
            found[cell.name] = sorted((await cell.members()).ids)
        assert found == {
            "all": ["worker-a"],
            "frankfurt": ["edge-f", "worker-a"],
            "tokyo": ["edge-t", "worker-a"],
        }
        assert (await cluster.members()).ids == {"edge-f", "edge-t", "worker-a"}
        told = [event.type for event in (await cluster.events.after("0-0", project="", members=True)).events]
        assert sorted(told) == ["edge.joined", "edge.joined", "worker.joined"], "a worker joins once, not in each Redis"


async def _has_worker(cell: Any) -> bool:
    return (await cell.members()).worker("worker-a") is not None


async def test_where_one_is_away_the_others_go_on(there: Regions) -> None:
    async with there.cluster("frankfurt") as cluster, everybody(there):
        watching = asyncio.create_task(_follow(cluster))
        before = await placed(cluster, "tokyo")
        await until(lambda: cluster.known is not None and len(cluster.known.ids) == 3)
        await there.own["tokyo"].kill()
        await until(lambda: cluster.regions_away == ("tokyo",))
        assert (await cluster.members()).ids == {"edge-f", "worker-a"}
        assert cluster.known is not None
        assert cluster.known.edge("edge-t") is not None, "who carries live calls is still known"
        known = await cluster.edge("edge-t")
        assert known is not None, "and reached"
        here = await placed(cluster, "frankfurt")
        page = await cluster.sessions()
        assert ([record.id for record in page.records], page.away) == ([here.session], ("tokyo",))
        with pytest.raises(UnavailableError, match=r"region tokyo's Redis does not answer .*redis\.regions\.tokyo"):
            await cluster.session(before.session).record()
        await there.own["tokyo"].start()
        await until(lambda: cluster.regions_away == ())
        await until(lambda: _all_there(cluster))
        watching.cancel()
        await asyncio.wait([watching])


async def _follow(cluster: Cluster) -> None:
    async for _ in cluster.watch():
        pass


async def _all_there(cluster: Cluster) -> bool:
    return len((await cluster.members()).ids) == 3


async def test_a_session_moves_across_with_a_slot_in_the_one_and_its_record_and_epoch_in_the_other(
    there: Regions,
) -> None:
    async with there.cluster() as cluster, everybody(there):
        first = await placed(cluster, "frankfurt")
        moved = await cluster.claim(
            first.session,
            agent="echo",
            edges=["edge-t"],
            workers=["worker-a"],
            region="tokyo",
            previous=first.epoch,
        )
        assert moved.epoch > first.epoch
        assert moved.edge.id == "edge-t"
        assert await slots(cluster, "tokyo", "edge", "edge-t") == {first.session}
        assert await slots(cluster, "frankfurt", "edge", "edge-f") == {first.session}, "it may be at both for a while"
        record = await cluster.session(first.session).record()
        assert record is not None
        assert (record.edge, record.region, record.epoch) == ("edge-t", "tokyo", moved.epoch)
        with pytest.raises(StaleEpochError):
            await cluster.session(first.session).update(first.epoch, at="edge-f", state="live")
        with pytest.raises(StaleEpochError):
            await cluster.session(first.session).release(first.epoch, edge="edge-f")
        assert await slots(cluster, "frankfurt", "edge", "edge-f") == set(), "the edge that it left lets go"
        with pytest.raises(StaleEpochError):  # who moves it from where it is no more
            await cluster.claim(
                first.session,
                agent="echo",
                edges=["edge-t"],
                workers=["worker-a"],
                region="tokyo",
                previous=first.epoch,
            )
        await cluster.session(first.session).release(moved.epoch, {"reason": "bye"}, edge="edge-t")
        assert await slots(cluster, "tokyo", "edge", "edge-t") == set()


async def test_a_move_that_comes_to_nothing_gives_its_slot_back(there: Regions) -> None:
    async with there.cluster() as cluster, everybody(there):
        first = await placed(cluster, "frankfurt")
        across = {"agent": "echo", "edges": ["edge-t"], "region": "tokyo", "previous": first.epoch}
        with pytest.raises(NoWorkerError):
            await cluster.claim(first.session, workers=["worker-z"], **across)  # type: ignore[arg-type]
        assert await slots(cluster, "tokyo", "edge", "edge-t") == set()
        moved = await cluster.claim(first.session, workers=["worker-a"], **across)  # type: ignore[arg-type]
        assert await cluster.session(first.session).revert(moved.epoch, edge="edge-t")
        assert await slots(cluster, "tokyo", "edge", "edge-t") == set()
        record = await cluster.session(first.session).record()
        assert record is not None
        assert (record.edge, record.epoch) == ("edge-f", first.epoch)
        await there.own["tokyo"].kill()
        with pytest.raises(NoEdgeError, match="tokyo"):  # other regions' edges may do
            await cluster.claim(first.session, workers=["worker-a"], **across)  # type: ignore[arg-type]


async def test_a_guests_edge_renews_its_slot_and_its_record_and_hears_who_owns_it(there: Regions) -> None:
    times: dict[str, Any] = {"slot_s": 1.0, "move_s": 1.0}
    live: dict[str, int] = {}
    left: list[str] = []
    async with there.cluster(**times) as cluster, there.cluster(**times) as own, kept(cluster, edge_f(), worker()):
        keeping = asyncio.create_task(own.keep(edge_t, lambda: live, stale=left.extend))
        await until(lambda: _all_there(cluster))
        first = await placed(cluster, "frankfurt")
        again = {"agent": "echo", "workers": ["worker-a"]}
        moved = await cluster.claim(
            first.session,
            edges=["edge-t"],
            region="tokyo",
            previous=first.epoch,
            **again,  # type: ignore[arg-type]
        )
        live[first.session] = moved.epoch
        await asyncio.sleep(2.5)
        record = await cluster.session(first.session).record()
        assert record is not None
        assert record.state == "live"
        assert await slots(cluster, "tokyo", "edge", "edge-t") == {first.session}
        assert await slots(cluster, "frankfurt", "edge", "edge-t") == set(), "it is no edge of that Redis"
        assert (await cluster.members()).edge("edge-t").sessions == 1  # type: ignore[union-attr]
        await cluster.claim(
            first.session,
            edges=["edge-f"],
            region="frankfurt",
            previous=moved.epoch,
            **again,  # type: ignore[arg-type]
        )
        await until(lambda: first.session in left)
        keeping.cancel()
        await asyncio.wait([keeping])


async def test_a_workers_capacity_counts_what_all_regions_have(there: Regions) -> None:
    live: dict[str, int] = {}
    here = worker(capacity=2)
    async with there.cluster() as cluster, there.cluster() as own, kept(cluster, edge_f(), edge_t()):
        keeping = asyncio.create_task(own.keep(lambda: here, lambda: live))
        await until(lambda: _all_there(cluster))
        for _ in range(2):
            claim = await placed(cluster, "frankfurt")
            live[claim.session] = claim.epoch

        async def refused() -> bool:
            try:
                claim = await placed(cluster, "tokyo")
            except NoWorkerError:
                return True
            await cluster.session(claim.session).release(claim.epoch)
            return False

        await until(refused)
        assert (await cluster.members()).worker("worker-a").sessions >= 2  # type: ignore[union-attr]
        keeping.cancel()
        await asyncio.wait([keeping])


async def test_a_quota_counts_what_a_project_has_in_all_regions(there: Regions) -> None:
    async with there.cluster() as cluster, everybody(there):
        await placed(cluster, "frankfurt", project="shop", quota=2)
        await placed(cluster, "frankfurt", project="shop", quota=2)
        with pytest.raises(OverLimitError, match="has 2 sessions"):
            await placed(cluster, "tokyo", project="shop", quota=2)
        await placed(cluster, "tokyo", project="other", quota=2)


async def test_a_worker_is_drained_in_all_regions_at_once(there: Regions) -> None:
    heard: list[Drain | None] = []
    async with there.cluster() as cluster, there.cluster() as own, kept(cluster, edge_f(), edge_t()):
        keeping = asyncio.create_task(own.keep(worker, drain=lambda order, _: heard.append(order)))
        await until(lambda: _all_there(cluster))
        order = await cluster.drain("worker", "worker-a", 60.0)
        for region in ("frankfurt", "tokyo"):
            with pytest.raises(NoWorkerError, match="draining"):
                await placed(cluster, region)
        await until(lambda: bool(heard) and heard[-1] is not None)
        assert heard[-1] is not None
        assert heard[-1].until_ms - order.until_ms < 1000
        await cluster.undrain("worker", "worker-a")
        await until(lambda: heard[-1] is None)
        await placed(cluster, "tokyo")
        await cluster.drain("edge", "edge-t", 60.0)
        assert (await cluster.members()).edge("edge-t").draining  # type: ignore[union-attr]
        with pytest.raises(UnknownMemberError):
            await cluster.drain("edge", "edge-x", 60.0)
        keeping.cancel()
        await asyncio.wait([keeping])


async def test_a_room_that_two_begin_at_once_begins_in_one_region(there: Regions) -> None:
    async with (
        there.cluster("frankfurt") as here,
        there.cluster("tokyo") as far,
        everybody(there),
    ):
        for number in range(10):
            name = f"room-{number}"
            claims = await asyncio.gather(
                placed(here, "frankfurt", room=name), placed(far, "tokyo", room=name), return_exceptions=True
            )
            begun = [claim for claim in claims if not isinstance(claim, BaseException)]
            refused = [claim for claim in claims if isinstance(claim, BaseException)]
            assert len(begun) == 1
            assert [type(error) for error in refused] == [RoomSettledError]
            for cluster in (here, far):
                found = await cluster.room(name)
                assert found is not None
                assert (found.edge, found.sessions) == (begun[0].edge.id, (begun[0].session,))
        assert [room.name for room in await here.rooms()] == sorted(f"room-{number}" for number in range(10))


async def test_who_finds_no_place_for_a_room_in_one_region_begins_it_in_another(there: Regions) -> None:
    async with there.cluster() as cluster, everybody(there):
        with pytest.raises(NoEdgeError):
            await placed(cluster, "tokyo", edges=[], room="lobby", asker="first")
        with pytest.raises(RoomSettledError):  # the first may be about to begin it
            await placed(cluster, "frankfurt", room="lobby", asker="second")
        await placed(cluster, "frankfurt", room="lobby", asker="first")


async def test_a_word_that_others_have_joined_in_stands(there: Regions) -> None:
    async with there.cluster() as cluster, everybody(there):
        for asker in ("first", "second"):
            with pytest.raises(NoEdgeError):
                await placed(cluster, "tokyo", edges=[], room="lobby", asker=asker)
        await cluster.give_up_room("lobby", "first")
        await cluster.give_up_room("lobby", "second")
        for asker in ("first", "second", "third"):
            with pytest.raises(RoomSettledError):
                await placed(cluster, "frankfurt", room="lobby", asker=asker)
        await placed(cluster, "tokyo", room="lobby", asker="third")


async def test_a_room_that_is_given_up_begins_anywhere(there: Regions) -> None:
    async with there.cluster() as cluster, everybody(there):
        with pytest.raises(NoEdgeError):
            await placed(cluster, "tokyo", edges=[], room="lobby", asker="first")
        await cluster.give_up_room("lobby", "first")
        await placed(cluster, "frankfurt", room="lobby", asker="second")


async def test_a_room_whose_place_was_forgotten_is_found_all_the_same(there: Regions) -> None:
    async with there.cluster() as cluster, everybody(there):
        await placed(cluster, "tokyo", room="lobby")
        async with Redis.from_url(there.common.url) as redis:
            await redis.flushall()
        found = await cluster.room("lobby")
        assert found is not None
        assert found.edge == "edge-t"


async def test_lists_are_merged_the_newest_first_page_by_page(there: Regions) -> None:
    async with there.cluster(slot_s=600.0) as cluster, everybody(there):
        made = [(await placed(cluster, ("frankfurt", "tokyo")[at % 3 % 2])).session for at in range(9)]
        for limit in (1, 2, 4, 100):
            for live in (False, True):
                told: list[str] = []
                after = ""
                while True:
                    page = await cluster.sessions(limit=limit, after=after, live=live)
                    assert len(page.records) <= limit
                    told += [record.id for record in page.records]
                    after = page.next
                    if not after:
                        break
                assert sorted(told) == sorted(made), f"each once, {limit} a page"
        newest = await cluster.sessions(limit=100)
        assert [r.created_ms for r in newest.records] == sorted((r.created_ms for r in newest.records), reverse=True)


async def test_events_of_all_regions_are_one_stream_that_goes_on_where_it_stopped(there: Regions) -> None:
    async with there.cluster() as cluster, everybody(there):
        last = await cluster.events.end()
        made = [(await placed(cluster, region)).session for region in ("tokyo", "frankfurt", "tokyo")]
        page = await cluster.events.after(last, project="default", members=False)
        assert sorted(event.data["session"] for event in page.events) == sorted(made)
        for at, event in enumerate(page.events):
            rest = await cluster.events.after(event.id, project="default", members=False)
            assert [e.data["session"] for e in rest.events] == [e.data["session"] for e in page.events[at + 1 :]]
        assert not (await cluster.events.after(page.last, project="default", members=False)).events
        await there.own["tokyo"].kill()
        more = await placed(cluster, "frankfurt")
        found = await cluster.events.after(page.last, project="default", members=False)
        assert [event.data["session"] for event in found.events] == [more.session]


async def test_round_trips_are_learned_where_the_call_is_and_known_everywhere(there: Regions) -> None:
    network = "192.0.2.0/24"
    async with there.cluster() as cluster, everybody(there):
        here = await placed(cluster, "frankfurt", networks=[network])
        far = await placed(cluster, "tokyo", networks=[network])
        assert await cluster.round_trips.learn({here.session: 12.0, far.session: 230.0}) == 2

        async def known() -> bool:
            async with there.cluster("tokyo") as another:
                trips = await another.round_trips.learned([network])
                return {region: trip.ms for region, trip in trips.items()} == {"frankfurt": 12.0, "tokyo": 230.0}

        await until(known)


async def test_one_node_leads_at_a_time(there: Regions) -> None:
    async with there.cluster("frankfurt") as one, there.cluster("tokyo") as other:
        assert await one.lead("sweep", "a", 0.5)
        assert not await other.lead("sweep", "b", 0.5)
        assert await one.lead("sweep", "a", 0.2)

        async def leads() -> bool:
            return await other.lead("sweep", "b", 5.0)

        await until(leads)
        assert not await one.lead("sweep", "a", 0.2)


_RECORDS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2)), max_size=24)


@given(records=_RECORDS, limit=st.integers(1, 5), looked=st.integers(1, 4))
def test_merged_pages_tell_each_session_once_in_order(records: list[tuple[int, int]], limit: int, looked: int) -> None:
    """`looked`: a cell looks at so many records a page, fewer than the limit perhaps."""
    cells: list[list[SessionRecord]] = [[], [], []]
    for at, (created, cell) in enumerate(records):
        cells[cell].append(SessionRecord(f"ses_{at:03}", 1, "live", created_ms=created))

    def page(cell: list[SessionRecord], after: str) -> SessionPage:
        ordered = sorted(cell, key=lambda record: (record.created_ms, record.id), reverse=True)
        if after:
            created, _, last = after.partition(" ")
            ordered = [record for record in ordered if (record.created_ms, record.id) < (int(created), last)]
        told = tuple(ordered[: min(limit, looked)])
        return SessionPage(told, f"{told[-1].created_ms} {told[-1].id}" if len(ordered) > len(told) else "")

    told: list[SessionRecord] = []
    after = ""
    for _ in range(4 * len(records) + 2):
        merged = merge_pages([page(cell, after) for cell in cells], limit, after)
        assert len(merged.records) <= limit
        told += merged.records
        after = merged.next
        if not after:
            break
    assert not after, "it comes to an end"
    everything = [record for cell in cells for record in cell]
    assert told == sorted(everything, key=lambda record: (record.created_ms, record.id), reverse=True)


@given(
    st.dictionaries(
        st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z"),
        st.tuples(st.integers(0, 10**15 - 1), st.integers(0, 10**15 - 1)).map(lambda at: f"{at[0]}-{at[1]}"),
        min_size=2,
        max_size=5,
    )
)
def test_a_cursor_names_a_place_in_each_stream(positions: dict[str, str]) -> None:
    assert positions_in(cursor_of(positions), positions) == positions


def test_a_cursor_of_other_streams_stands_for_a_moment() -> None:
    assert positions_in("17-3", ["all", "tokyo"]) == {"all": "17-3", "tokyo": "17-3"}
    assert positions_in("all:17-3,tokyo:9-0", ["all", "virginia"]) == {"all": "17-3", "virginia": "9-0"}
    assert cursor_of({"all": "17-3"}) == "17-3"
