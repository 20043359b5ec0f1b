"""The cluster's memory behind TLS, in Sentinels' care, and as a Redis Cluster: with real servers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from antiphon.cluster import Claim, Cluster, Membership, inspect_redis
from antiphon.cluster.functions import library_name
from antiphon.config import load_config
from antiphon.errors import ConfigError, NoEdgeError, UnavailableError
from antiphon.ids import new_session_id
from antiphon.redis_address import TlsFiles, parse_redis_url
from tests.support.certificates import Authority
from tests.support.members import edge, kept, worker
from tests.support.redis_kinds import SERVICE, Watched, behind_tls, sharded, watched
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from antiphon.cluster.cell import Cell
    from antiphon.cluster.embedded import EmbeddedValkey


async def place(cluster: Cluster, session: str, previous: int = 0) -> int:
    claim = await cluster.claim(session, agent="parrot", edges=["edge-a"], workers=["worker-a"], previous=previous)
    return claim.epoch


async def reached(cluster: Cluster) -> bool:
    try:
        await cluster.members()
    except UnavailableError:
        return False
    return True


async def test_tls_shows_a_certificate_and_believes_one_authority(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    files = Authority().issue(tmp_path / "ours")
    stranger = Authority().issue(tmp_path / "stranger")
    port = parse_redis_url(valkey.url).url.rpartition(":")[2].partition("/")[0]
    async with behind_tls(int(port), files) as secured:
        url = f"rediss://127.0.0.1:{secured}/0"
        config = load_config(redis={"url": url, "tls": files.settings})
        assert (await inspect_redis(config.redis.address)).server == "valkey"
        async with Cluster(config.redis.address) as cluster, kept(cluster, edge(), worker()):
            assert await place(cluster, "ses_x")
        for wrong in (
            TlsFiles(authority=files.settings["authority"]),  # it shows nothing
            TlsFiles(**stranger.settings),
            TlsFiles(),  # the system's authorities know nothing of this one
        ):
            async with Cluster(parse_redis_url(url).with_files(wrong)) as cluster:
                with pytest.raises(UnavailableError, match="does not answer"):
                    await cluster.members()


async def test_a_failover_by_sentinels_is_followed(tmp_path: Path) -> None:
    async with watched(tmp_path) as found:
        assert (await inspect_redis(found.url)).server == "valkey"
        async with Cluster(found.url) as cluster, kept(cluster, edge(), worker()):
            first = await place(cluster, "ses_x")
            found.primary.end()

            async def placed() -> bool:
                try:
                    await place(cluster, "ses_y")
                except UnavailableError:
                    return False
                return True

            await until(placed, seconds=60, every=0.2, what="a place at the new primary")
            async with found.replica.client() as client:
                assert (await client.info("replication"))["role"] == "master"
            assert await place(cluster, "ses_z") > first
            assert {one.id for one in (await cluster.sessions(live=True)).records} >= {"ses_y", "ses_z"}


async def test_a_redis_cluster_keeps_it_all_in_one_slot_and_every_primary_has_the_functions(tmp_path: Path) -> None:
    async with sharded(tmp_path) as nodes:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        async with Cluster(url) as cluster, Cluster(url) as other:

            async def answers() -> bool:
                return await reached(cluster) and await reached(other)

            await until(answers, seconds=60, every=0.1, what="an answer, where a busy machine makes the first one slow")
            heard: list[Membership] = []
            async with kept(cluster, edge(), worker()):
                first = await place(cluster, "ses_x")
                assert await place(other, "ses_x", first) > first
                record = await other.session("ses_x").record()
                assert record is not None
                assert record.edge == "edge-a"
                assert [one.type for one in (await other.events.after("0-0", project="", members=True)).events]
                async for membership in other.watch():
                    heard.append(membership)
                    break
                assert heard[0].ids == {"edge-a", "worker-a"}
        sizes = []
        for node in nodes:
            async with node.client() as client:
                assert await client.function_list(library=library_name())
                sizes.append(await client.dbsize())
        assert sorted(sizes)[:2] == [0, 0], "all keys have one hash tag"
        assert (await inspect_redis(url)).functions == "loaded"


KINDS = {"frankfurt": "sentinel", "tokyo": "cluster", "osaka": "the same cluster", "virginia": "tls"}


@asynccontextmanager
async def a_redis_of_each_kind(valkey: EmbeddedValkey, folder: Path) -> AsyncIterator[tuple[Watched, Cluster]]:
    """The Sentinel's, and a cluster whose regions have a Redis as KINDS says; one edge in each, and a worker."""
    files = Authority().issue(folder / "ours")
    for name in ("watched", "sharded"):
        (folder / name).mkdir()
    port = parse_redis_url(valkey.url).url.rpartition(":")[2].partition("/")[0]
    async with (
        behind_tls(int(port), files) as secured,
        watched(folder / "watched") as guarded,
        sharded(folder / "sharded") as nodes,
    ):
        shared = parse_redis_url("redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes))
        tls = parse_redis_url(f"rediss://127.0.0.1:{secured}/0").with_files(TlsFiles(**files.settings))
        regions = {"frankfurt": parse_redis_url(guarded.url), "tokyo": shared, "osaka": shared, "virginia": tls}
        edges = [edge(f"edge-{region}", region=region) for region in regions]
        async with (
            Cluster(valkey.url, regions=regions, region="tokyo") as cluster,
            Cluster(valkey.url, regions=regions, region="tokyo") as members,
        ):

            async def answers() -> bool:
                return None not in await asyncio.gather(*(members_of(cell) for cell in cluster.cells))

            await until(answers, seconds=60, every=0.1, what="an answer of each")
            async with kept(members, *edges, worker()):
                await until(lambda: worker_everywhere(cluster), what="the worker in each Redis")
                yield guarded, cluster


async def members_of(cell: Cell) -> Membership | None:
    try:
        return await cell.members()
    except UnavailableError:
        return None


async def worker_everywhere(cluster: Cluster) -> bool:
    found = await asyncio.gather(*(members_of(cell) for cell in cluster.cells))
    return all(one is not None and one.worker("worker-a") is not None for one in found)


async def place_in(cluster: Cluster, region: str) -> Claim:
    edges = [f"edge-{region}"]
    session = new_session_id(region)
    return await cluster.claim(session, agent="parrot", edges=edges, workers=["worker-a"], region=region)


async def test_regions_may_have_a_redis_of_each_kind(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with a_redis_of_each_kind(valkey, tmp_path) as (guarded, cluster):
        placed = {region: await place_in(cluster, region) for region in KINDS}
        for region, claim in placed.items():
            record = await cluster.session(claim.session).record()
            assert record is not None
            assert (record.region, record.edge) == (region, f"edge-{region}")
        listed = (await cluster.sessions(live=True)).records
        assert {record.id for record in listed} == {claim.session for claim in placed.values()}
        moving = placed["frankfurt"]
        moved = await cluster.claim(
            moving.session,
            agent="parrot",
            edges=["edge-tokyo"],
            workers=["worker-a"],
            region="tokyo",
            previous=moving.epoch,
        )
        assert moved.epoch > moving.epoch
        assert {one.id: one.sessions for one in await cluster.edges()} == {
            "edge-frankfurt": 1,  # until it lets go
            "edge-tokyo": 2,
            "edge-osaka": 1,
            "edge-virginia": 1,
        }

        guarded.primary.end()  # a failover: of the others nothing is heard meanwhile
        for region in ("tokyo", "osaka", "virginia"):
            await place_in(cluster, region)

        async def again() -> bool:
            try:
                return (await place_in(cluster, "frankfurt")).epoch > moving.epoch
            except (UnavailableError, NoEdgeError):
                return False

        await until(again, seconds=60, every=0.2, what="a place by the new primary")


async def test_regions_redises_behind_tls_are_shown_the_files_of_the_settings(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    files = Authority().issue(tmp_path / "ours")
    port = parse_redis_url(valkey.url).url.rpartition(":")[2].partition("/")[0]
    async with behind_tls(int(port), files) as secured:
        url = f"rediss://127.0.0.1:{secured}/0"
        config = load_config(redis={"url": url, "regions": {"tokyo": url}, "tls": files.settings})
        async with Cluster.of(config) as cluster, kept(cluster, edge("edge-tokyo", region="tokyo"), worker()):
            await until(lambda: worker_everywhere(cluster), what="the worker in each cell")
            claim = await place_in(cluster, "tokyo")
            assert await cluster.cell_of_region("tokyo").session(claim.session).record() is not None
            assert await cluster.common.session(claim.session).record() is None


@pytest.mark.parametrize(
    ("url", "kind", "told"),
    [
        ("redis://:hunter2@10.0.0.5/1", "one", "10.0.0.5:6379"),
        ("rediss://[fd00::5]:6380/0", "one", "[fd00::5]:6380"),
        ("unix:///run/redis.sock", "one", "/run/redis.sock"),
        ("redis+sentinel://a,b:26380/main", "sentinel", "a:26379,b:26380/main"),
        (
            "rediss+sentinel://me:hunter2@[fd00::5],b/main/3?sentinel_password=hunter2",
            "sentinel",
            "[fd00::5]:26379,b:26379/main",
        ),
        ("redis+cluster://:hunter2@a:7000,b:7001", "cluster", "a:7000,b:7001"),
    ],
)
def test_a_url_says_where_and_shows_no_password(url: str, kind: str, told: str) -> None:
    address = parse_redis_url(url)
    assert (address.kind, str(address)) == (kind, told)
    assert "hunter2" not in repr(address)
    assert address.tls == url.startswith("rediss")


def test_accounts_of_sentinels_and_of_redis_are_told_apart() -> None:
    address = parse_redis_url("redis+sentinel://me:p%40ss@a/main/3?sentinel_username=watch&sentinel_password=other")
    assert (address.username, address.password, address.database, address.service) == ("me", "p@ss", 3, "main")
    assert (address.sentinel_username, address.sentinel_password) == ("watch", "other")


@pytest.mark.parametrize(
    "url",
    [
        "http://hunter2@a",
        "redis+sentinel://hunter2@a",  # no service
        f"redis+sentinel:///{SERVICE}",
        "redis+sentinel://a:hunter2/main",
        "redis+sentinel://a,,b/main",
        "redis+sentinel://a/main/hunter2",
        "redis+sentinel://a/main?password=hunter2",
        "redis+cluster://a/0/hunter2",
        "redis+cluster://a:70000",
        "redis+cluster://",
    ],
)
def test_a_url_that_makes_no_sense_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="must be redis://host:port/0") as raised:
        parse_redis_url(url)
    assert "hunter2" not in str(raised.value)


def test_files_for_tls_that_would_not_be_used_are_refused(tmp_path: Path) -> None:
    settings = Authority().issue(tmp_path / "ours").settings
    with pytest.raises(ConfigError, match="nothing would be encrypted"):
        load_config(redis={"url": "redis://127.0.0.1/0", "tls": settings})
    with pytest.raises(ConfigError, match="needs certificate and key"):
        load_config(redis={"url": "rediss://127.0.0.1/0", "tls": {"key": settings["key"]}})
