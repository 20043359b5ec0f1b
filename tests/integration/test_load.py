"""`locust -f loadtest/locustfile.py` against a real cluster: what it reports, and when it refuses to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from loadtest.load.schedule import LATE

if TYPE_CHECKING:
    from tests.support.cluster import LocalCluster

pytestmark = pytest.mark.verify
pytest.importorskip("antiphon.callers._callers", reason="make callers builds it", exc_type=ImportError)
ROOT = Path(__file__).parents[2]
PATIENCE_S = 90


def locust(url: str, results: Path, seconds: int, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless", "--host", url]
    command += ["-u", "4", "-r", "10", "-t", f"{seconds}s", "--load-results", str(results), *options]
    path = os.pathsep.join([str(ROOT / "services"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_callers_of_each_kind_are_in_the_report(cluster: LocalCluster, tmp_path: Path) -> None:
    results = tmp_path / "load.json"
    process = locust(cluster.url, results, 8, "--shape", "soak", "--mix", "talker=1,listener=1,roamer=1,flaky=1")
    said, _ = process.communicate(timeout=PATIENCE_S)
    if process.returncode == LATE:  # on a machine with much other work that is right
        assert "could not keep its own schedule" in said
        return
    assert process.returncode == 0, said
    document: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    assert set(document["totals"]["groups"]) == {"talker", "listener", "roamer", "flaky"}
    assert {"place", "ICE", "DTLS", "set-up", "first audio", "mouth to ear"} <= set(document["entries"])
    assert document["totals"]["groups"]["talker"]["echoed"] > 0
    assert document["totals"]["groups"]["listener"]["voice"] == 0
    assert document["timeline"][-1]["users"] == 4


def test_a_load_that_was_held_up_reports_nothing(cluster: LocalCluster, tmp_path: Path) -> None:
    results = tmp_path / "load.json"
    process = locust(cluster.url, results, 8, "--shape", "soak", "--mix", "talker=1")
    assert process.stdout is not None
    for line in process.stdout:
        if "All users spawned" in line:
            break
    time.sleep(1)
    process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == LATE, said
    assert "could not keep its own schedule" in said
    assert not results.exists()


def test_a_mix_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    process = locust("http://127.0.0.1:1", tmp_path / "none", 1, "--mix", "talkr=1")
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "there is no persona 'talkr'" in said
