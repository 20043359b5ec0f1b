"""Native callers on a real edge: placed by HTTP, they speak, are answered, roam and hang up (make callers)."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from antiphon.callers import clip_of, vowels
from antiphon.config import load_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from antiphon.callers._callers import Callers
    from tests.support.cluster import LocalCluster

pytestmark = pytest.mark.verify
callers_module = pytest.importorskip("antiphon.callers._callers", reason="make callers builds it", exc_type=ImportError)
PATIENCE_S = 40


@pytest.fixture
def callers() -> Iterator[Callers]:
    made: Callers = callers_module.Callers(bind="127.0.0.1", threads=1)
    yield made
    made.close()


class Line:
    """One caller, with what happened to it."""

    def __init__(self, callers: Callers, url: str, agent: str, **manner: Any) -> None:
        self.callers = callers
        self.events: list[tuple[str, float, str]] = []
        self.call, offer = callers.offer("test", echoes=agent == "echo", **manner)
        response = httpx.post(
            f"{url}/v1/sessions?agent={agent}", content=offer, headers={"Content-Type": "application/sdp"}, timeout=30
        )
        assert response.status_code == 201, response.text
        self.location = url + response.headers["Location"]
        callers.answer(self.call, response.text)

    def wait(self, kind: str) -> float:
        """The time of the next event of this kind, in ms."""
        return self.wait_for(kind)[0]

    def wait_for(self, kind: str) -> tuple[float, str]:
        """Time and text of the next event of this kind."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            while self.events:
                event = self.events.pop(0)
                if event[0] == kind:
                    return event[1], event[2]
            assert time.monotonic() < deadline, f"no {kind} in time"
            time.sleep(0.02)
            self.events += [(kind, ms, text) for call, kind, ms, text in self.callers.poll() if call == self.call]

    def wait_for_echoes(self, least: int) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            group: dict[str, Any] = self.callers.totals()["groups"].get("test", {"echoed": 0})
            if group["echoed"] >= least:
                return group
            assert time.monotonic() < deadline, f"{group} in time"
            time.sleep(0.05)


def test_a_caller_is_echoed_frame_by_frame_and_goes_on_by_another_address(
    callers: Callers, cluster: LocalCluster
) -> None:
    clip = clip_of(vowels(1.0), 48_000)
    number = callers.add_clip(clip)
    line = Line(callers, cluster.url, "echo")
    assert line.wait("ice") >= 0
    assert line.wait("dtls") >= 0
    assert line.wait("connected") > 0
    callers.speak(line.call, number)
    line.wait("said")
    group = line.wait_for_echoes(len(clip) * 9 // 10)
    assert group["voice"] == len(clip)
    assert sum(count for _, count in group["delay_us"]) == group["echoed"]

    callers.roam(line.call)
    assert line.wait("roamed") >= 0
    callers.speak(line.call, number)
    line.wait_for_echoes(group["echoed"] + len(clip) // 2)
    callers.hang_up(line.call)
    line.wait("ended")


def test_a_caller_restarts_its_ice_as_a_browser_does(callers: Callers, cluster: LocalCluster) -> None:
    clip = clip_of(vowels(1.0), 48_000)
    number = callers.add_clip(clip)
    line = Line(callers, cluster.url, "echo")
    line.wait("connected")
    callers.restart(line.call)
    _, fragment = line.wait_for("restarts")
    headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}
    answer = httpx.patch(line.location, content=fragment, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    callers.restarted(line.call, answer.text)
    callers.speak(line.call, number)
    line.wait("said")
    line.wait_for_echoes(len(clip) // 2)


def test_a_caller_of_an_agent_that_takes_turns_times_its_answer_by_a_bad_network(
    callers: Callers, cluster: LocalCluster
) -> None:
    number = callers.add_clip(clip_of(vowels(1.5, seed=2), 48_000))
    line = Line(callers, cluster.url, "parrot", impairment=(10.0, 5.0, 0.01))
    line.wait("connected")
    callers.speak(line.call, number)
    line.wait("said")
    assert line.wait("turn") > 0
    line.wait("agent_silent")
    callers.vanish(line.call)
    line.wait("ended")


def test_what_makes_no_sense_is_refused_in_words(callers: Callers) -> None:
    with pytest.raises(ValueError, match="frame 0"):
        callers.add_clip([(b"\xf8", 30)])
    with pytest.raises(ValueError, match="a frame at least"):
        callers.add_clip([])
    with pytest.raises(KeyError, match="no clip 7"):
        callers.speak(0, 7)
    with pytest.raises(ValueError, match="no IPv4"):
        callers_module.Callers(bind="::1", threads=1)
    with pytest.raises(ValueError, match="threads"):
        callers_module.Callers(bind="127.0.0.1", threads=0)


def test_an_answer_that_answers_nothing_ends_the_call_with_its_reason(callers: Callers) -> None:
    call, offer = callers.offer("test", echoes=True)
    assert "m=audio" in offer
    callers.answer(call, "no SDP")
    deadline = time.monotonic() + PATIENCE_S
    events: list[tuple[int, str, float, str]] = []
    while not events and time.monotonic() < deadline:
        events += callers.poll()
        time.sleep(0.02)
    assert events[0][:2] == (call, "ended")
    assert "cannot use the answer" in events[0][3]


def test_calibrate_writes_a_capacity_or_says_why_not(tmp_path: Path) -> None:
    config, values = tmp_path / "capacity.yaml", tmp_path / "values.yaml"
    command = [
        sys.executable,
        "-m",
        "antiphon.cli",
        "calibrate",
        "edge",
        "--calls",
        "2",
        "--most",
        "2",
        "--seconds",
        "1",
    ]
    command += ["--output", str(config), "--values", str(values)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    if done.returncode == 0:
        assert load_config(config).edge.capacity == 1
        assert "edge: 2 calls within bounds" in done.stdout
        assert "or more" in done.stdout
    else:  # on a machine with much other work that is right
        assert done.returncode == 1, done.stderr
        assert "no capacity is written" in done.stderr
        assert not config.exists()
