"""`antiphon up` as a person runs it: it comes up, heals, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from antiphon.client import RATE, read_audio, write_wav
from tests.integration.test_calls import sentence
from tests.support.cluster import LocalCluster, alive
from tests.support.compare import likeness
from tests.support.wait import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cluster import LocalCluster as Cluster
    from tests.support.cluster import Valkey


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_everything_cleanly(how: signal.Signals) -> None:
    with LocalCluster() as cluster:
        children = cluster.processes()
        names = " ".join(children.values())
        for part in ("valkey", "cli signaling", "cli edge", "cli worker"):
            assert part in names
        assert cluster.stop(how) == 0
    assert not [line for pid, line in children.items() if alive(pid)]
    assert not cluster.log("did not stop")
    assert not cluster.log("Traceback")


async def test_an_edge_that_crashes_comes_back(cluster: Cluster) -> None:
    before = await until(lambda: cluster.pid("edge"), what="an edge")
    os.kill(before, signal.SIGKILL)
    await until(lambda: not alive(before))

    def whole() -> bool:
        edges = cluster.get("/v1/edges").json()["edges"]
        return len(edges) == 2 and cluster.get("/readyz").status_code == 200

    await until(lambda: len([line for line in cluster.processes().values() if line.endswith("cli edge")]) == 2)
    await until(whole, what="both edges")


async def test_every_service_shows_metrics(cluster: Cluster) -> None:
    assert "antiphon_" in cluster.get("/metrics").text


def test_regions_and_workers_are_as_many_as_are_asked_for() -> None:
    with LocalCluster("--regions", "tokyo,mine=48.1:11.6", "--workers", "2") as cluster:
        regions = {region["name"]: region for region in cluster.get("/v1/regions").json()["regions"]}
        assert set(regions) == {"tokyo", "mine"}
        assert regions["mine"]["latitude"] == 48.1
        assert len(cluster.get("/v1/workers").json()["workers"]) == 2
        for region in regions.values():
            assert httpx.get(region["probes"][0]["http"]).status_code == 204


def test_explain_shows_every_candidate(cluster: Cluster) -> None:
    command = [sys.executable, "-m", "antiphon.cli", "explain", "--url", cluster.url, "--rtt", "virginia=3"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert "* edge-virginia" in result.stdout
    assert "  edge-frankfurt" in result.stdout
    assert "3.0 ms measured by the caller" in result.stdout


def antiphon_call(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "antiphon.cli", "call", "--url", cluster.url, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_call_plays_records_and_tells(cluster: Cluster, tmp_path: Path) -> None:
    said = sentence("Pack my box with five dozen jugs.")
    write_wav(tmp_path / "in.wav", said)
    out = tmp_path / "out.wav"
    result = antiphon_call(
        cluster, "--agent", "parrot", "--play", str(tmp_path / "in.wav"), "--record", str(out), "--region", "virginia"
    )
    assert result.returncode == 0, result.stderr
    for words in ("edge-virginia", "worker", "set-up", "DTLS", "round trip", "turn 1", "answer 1", "recorded"):
        assert words in result.stdout
    assert likeness(said[RATE // 4 :], read_audio(out)) > 0.8


def test_call_tells_the_same_as_json(cluster: Cluster, tmp_path: Path) -> None:
    write_wav(tmp_path / "in.wav", sentence("Hello there."))
    result = antiphon_call(cluster, "--agent", "echo", "--play", str(tmp_path / "in.wav"), "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["edge"].startswith("edge-")
    assert told["heard"]
    assert told["statistics"]["packets_received"] > 0


def test_call_tells_what_happened_when_it_is_interrupted(cluster: Cluster) -> None:
    command = [sys.executable, "-m", "antiphon.cli", "call", "--url", cluster.url, "--agent", "echo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:

        def talking() -> bool:
            """Its caller knows that it is up: that is later than the edge knows, and the voice comes after it."""
            sessions = cluster.get("/v1/sessions?live=true&agent=echo").json()["sessions"]
            records = [cluster.get(f"/v1/sessions/{session['id']}").json() for session in sessions]
            return any(record["quality"].get("frames_in", 0) > 50 for record in records)

        deadline = time.monotonic() + 60
        while not talking():
            assert time.monotonic() < deadline, "the call did not come up"
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        out, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    assert "called     echo" in out
    assert "ended      bye" in out
    assert not errors


def test_call_names_an_unknown_agent(cluster: Cluster) -> None:
    result = antiphon_call(cluster, "--agent", "nobody")
    assert result.returncode == 1
    assert "nobody" in result.stderr


def test_several_worker_processes_share_one_command(cluster_valkey: Valkey, cluster: Cluster) -> None:
    command = [sys.executable, "-m", "antiphon.cli", "worker", "--processes", "2"]
    env = os.environ | {
        "ANTIPHON_REDIS__URL": cluster_valkey.url,
        "ANTIPHON_WORKER__ID": "several",
        "ANTIPHON_WORKER__PORT": "0",
        "ANTIPHON_WORKER__HTTP_PORT": "0",
    }
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as running:
        assert running.stdout is not None
        assert any("2 worker processes are ready" in line for line in running.stdout)
        ids = {worker["id"] for worker in cluster.get("/v1/workers").json()["workers"]}
        assert {"several-0", "several-1"} <= ids
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 0
        running.stdout.read()
