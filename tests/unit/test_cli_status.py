"""`antiphon status`: over a real signaling node, and what it says of clusters in trouble."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from antiphon.cli.status import Status, Wish, in_words, show_status
from antiphon.cluster import Cluster
from antiphon.cluster.embedded import EmbeddedValkey
from tests.support.members import edge, kept, worker
from tests.support.signaling import served

if TYPE_CHECKING:
    import pytest

DRAIN = {"since_ms": 1_000, "until_ms": 61_000, "sessions_before": 5}


def an_edge(name: str = "edge-a", **changes: Any) -> dict[str, Any]:
    values = {"id": name, "region": "frankfurt", "capacity": 10, "sessions": 2, "draining": False, "drain": None}
    return {**values, **changes}


def a_worker(name: str = "worker-a", **changes: Any) -> dict[str, Any]:
    return {**an_edge(name), "agents": ["echo", "parrot"], **changes}


async def test_it_shows_a_real_cluster_and_its_drain(capsys: pytest.CaptureFixture[str]) -> None:
    async with (
        EmbeddedValkey() as valkey,
        Cluster(valkey.url) as cluster,
        served(valkey) as url,
        kept(cluster, edge(capacity=10), edge("edge-b", region="virginia"), worker()),
    ):
        assert await show_status(Wish(url, as_json=True)) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["takes_calls"] is True
        assert [region["name"] for region in told["regions"]] == ["frankfurt", "virginia"]
        assert told["findings"] == [{"level": "ok", "what": "new calls find an edge and a worker"}]

        await cluster.drain("edge", "edge-b", 60.0)
        assert await show_status(Wish(url)) == 0
        shown = capsys.readouterr().out
        assert "warning  region virginia takes no new calls: 1 draining" in shown
        assert "drained: no call is left" in shown

        await cluster.drain("worker", "worker-a", 60.0)
        assert await show_status(Wish(url)) == 1
        assert "failure  no worker can take a call: 1 draining" in capsys.readouterr().out


async def test_without_members_nothing_can_take_a_call(capsys: pytest.CaptureFixture[str]) -> None:
    async with EmbeddedValkey() as valkey, served(valkey) as url:
        assert await show_status(Wish(url)) == 1
        shown = capsys.readouterr().out
        assert shown.startswith("failure  no edge can take a call: none lives\n")
        assert "no worker lives that this key may see" in shown


def test_nobody_there_is_one_line_and_exit_code_1() -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}
    command = [sys.executable, "-m", "antiphon.cli", "status", "--url", "http://127.0.0.1:9"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "Is Antiphon running there?" in result.stderr


def test_a_full_edge_takes_no_call_and_a_nearly_full_one_is_told() -> None:
    assert not Status([an_edge(sessions=10)], [a_worker()]).takes_calls
    status = Status([an_edge(sessions=9)], [a_worker()])
    assert status.takes_calls
    assert [finding.what for finding in status.findings] == ["edge-a is nearly full: 90 % of its places are taken"]


def test_the_drain_of_a_member_has_its_progress() -> None:
    words = in_words(Status([an_edge(), an_edge("edge-b", draining=True, drain=DRAIN)], [a_worker()]))
    assert "draining: 3 of 5 gone, the rest ends at 00:01:01 UTC" in words
    assert "4 live calls" in words


def test_an_agent_that_only_a_draining_worker_has_is_told() -> None:
    leaving = a_worker("worker-b", draining=True, agents=["clerk"])
    findings = Status([an_edge()], [a_worker(), leaving]).findings
    assert [(one.level, one.what) for one in findings] == [("warning", "agent clerk has only workers that drain")]


MEMBERS = st.lists(
    st.builds(
        lambda sessions, capacity, draining: a_worker(sessions=sessions, capacity=capacity, draining=draining),
        st.integers(0, 20),
        st.integers(1, 20),
        st.booleans(),
    ),
    max_size=5,
)


@given(edges=MEMBERS, workers=MEMBERS)
def test_a_failure_is_told_just_where_nothing_can_take_a_call(
    edges: list[dict[str, Any]], workers: list[dict[str, Any]]
) -> None:
    status = Status(edges, workers)
    assert status.takes_calls is not any(finding.level == "failure" for finding in status.findings)
    assert in_words(status)
