"""Over real distances: a caller goes to the edge that it measures to be nearest, and to the far one when that dies."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.continents import Continents, continents
from tests.support.namespaces import why_no_namespaces

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(why_no_namespaces() is not None, reason=str(why_no_namespaces())),
    pytest.mark.timeout(600),  # the impairer may have to be built first
]


def test_a_caller_goes_to_the_nearest_edge_and_to_the_far_one_when_it_dies(tmp_path: Path) -> None:
    with continents(tmp_path) as world:
        calling = world.call("pulse", seconds=14)
        session = live(world)
        record = world.get(f"/v1/sessions/{session}")
        measured = record["placement"]["evidence"]["measured"]
        assert record["edge"] == "edge-virginia"
        assert 30 <= measured["virginia"] < 50 <= measured["frankfurt"]
        to_worker = {one["id"]: term(one, "worker_rtt") for one in record["placement"]["edges"]}
        assert all(40 <= milliseconds < 70 for milliseconds in to_worker.values()), to_worker

        world.edges["virginia"].signal(signal.SIGKILL)
        told = account(calling)

        assert told["edge"] == "edge-frankfurt"
        assert told["session"] == session
        assert world.get(f"/v1/sessions/{session}")["edge"] == "edge-frankfurt"


def live(world: Continents) -> str:
    """The session, once media flows."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = world.get("/v1/sessions")["sessions"]
        if found and found[0]["state"] == "connected":
            time.sleep(2)  # so that the agent is heard
            return str(found[0]["id"])
        time.sleep(0.1)
    raise AssertionError("no call was connected")


def term(candidate: dict[str, Any], policy: str) -> float:
    return float(next(one["ms"] for one in candidate["terms"] if one["policy"] == policy))


def account(calling: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = calling.communicate(timeout=60)
    assert calling.returncode == 0, errors
    told: dict[str, Any] = json.loads(out)
    return told
