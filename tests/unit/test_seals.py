"""Registration with a secret: forged, changed and unsigned records of members count for nothing."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.cluster import Cluster
from antiphon.cluster.records import encode_member
from antiphon.cluster.seals import Seals
from antiphon.config import load_config
from antiphon.edge.service import Edge
from antiphon.errors import ConfigError, NoEdgeError
from antiphon.worker.service import run as run_worker
from tests.support.members import edge, kept, members, worker
from tests.support.plane import FakePlane
from tests.support.signaling import signaling
from tests.support.tasks import end
from tests.support.wait import until

if TYPE_CHECKING:
    from antiphon.cluster.embedded import EmbeddedValkey

OLD, NEW, FOREIGN = "old-secret-012345", "new-secret-012345", "foreign-secret-01"
WORKER: dict[str, Any] = {"worker": {"id": "worker-signed", "port": 0, "http_port": 0}}
RECORD = encode_member(worker())


def test_a_record_holds_for_its_kind_and_with_its_secret_alone() -> None:
    sealed = Seals([OLD]).sign("worker", RECORD)
    assert Seals([OLD]).holds("worker", sealed)
    assert Seals([NEW, OLD]).holds("worker", sealed)
    assert not Seals([NEW]).holds("worker", sealed)
    assert not Seals([OLD]).holds("edge", sealed)
    assert not Seals([OLD]).holds("worker", RECORD)
    assert Seals().sign("worker", RECORD) == RECORD
    assert Seals().holds("worker", sealed)
    assert OLD not in sealed


@given(st.sampled_from(sorted(json.loads(RECORD))), st.text(max_size=20) | st.integers() | st.none())
def test_a_changed_record_does_not_hold(name: str, value: Any) -> None:
    values = json.loads(Seals([OLD]).sign("worker", RECORD))
    if values[name] != value:
        assert not Seals([OLD]).holds("worker", json.dumps({**values, name: value}))


@given(st.text(max_size=50) | st.sampled_from(["[]", "1", "null", '{"seal": 1}', '{"seal": "\u00e9"}', "[" * 3000]))
def test_what_is_no_record_does_not_hold(text: str) -> None:
    assert not Seals([OLD]).holds("worker", text)


async def test_only_members_with_the_secret_are_there(server: EmbeddedValkey) -> None:
    async with (
        Cluster(server.url, secrets=[NEW, OLD]) as ours,
        Cluster(server.url, secrets=[OLD]) as before,
        Cluster(server.url, secrets=[FOREIGN]) as foreign,
        Cluster(server.url) as unsigned,
        kept(ours, edge("edge-a"), worker("worker-a")),
        kept(before, worker("worker-before")),
        kept(foreign, worker("worker-foreign")),
        kept(unsigned, edge("edge-unsigned"), worker("worker-unsigned")),
    ):
        assert await members(ours) == {"edge-a", "worker-a", "worker-before"}
        assert await members(before) == {"worker-before"}
        async for found in ours.watch():
            assert found.ids == {"edge-a", "worker-a", "worker-before"}
            break


async def test_a_claim_does_not_go_to_a_record_that_was_written_over(server: EmbeddedValkey) -> None:
    async with (
        Cluster(server.url, secrets=[OLD]) as ours,
        Cluster(server.url) as intruder,
        kept(ours, edge("edge-a"), worker("worker-a")),
    ):
        claim = await ours.claim("ses_frankfurt_" + "0" * 20, agent="parrot", edges=["edge-a"], workers=["worker-a"])
        assert claim.worker == worker("worker-a")
        forged = encode_member(worker("worker-a", link="203.0.113.66:4100"))
        await (await intruder.common._functions._redis.server("")).hset(
            f"{intruder.common._functions.prefix}:members:worker", "worker-a", forged
        )
        with pytest.raises(NoEdgeError, match="not signed"):
            await ours.claim("ses_frankfurt_" + "1" * 20, agent="parrot", edges=["edge-a"], workers=["worker-a"])


async def test_services_sign_and_pass_over_what_is_not_signed(valkey: EmbeddedValkey) -> None:
    secrets: dict[str, Any] = {"registration_secrets": [OLD]}
    plain = load_config(redis={"url": valkey.url}, edge={"control_port": 0, "http_port": 0}, **secrets)
    async with (
        signaling(valkey, **secrets) as http,
        Cluster(valkey.url) as unsigned,
        kept(unsigned, edge("edge-unsigned"), worker("worker-unsigned")),
    ):
        serving = asyncio.create_task(run_worker(load_config(**WORKER, redis={"url": valkey.url}, **secrets)))
        async with Cluster(valkey.url, secrets=plain.registration_keys) as cluster:
            part = Edge(plain, cast("Any", FakePlane()), cluster)
            await part.start()
            edging = asyncio.create_task(part.serve())

            async def listed() -> bool:
                found = [(await http.get(f"/v1/{kind}")).json().get(kind, []) for kind in ("edges", "workers")]
                return [[one["id"] for one in members] for members in found] == [["edge"], ["worker-signed"]]

            try:
                await until(listed, seconds=30)
            finally:
                await end(edging, serving)
                await part.stop()


def test_a_short_secret_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="registration_secrets: has a secret that is too short") as told:
        load_config(registration_secrets=["hunter2"])
    assert "hunter2" not in str(told.value)
