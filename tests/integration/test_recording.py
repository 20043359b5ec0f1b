"""A recorded call: its two tracks are decoded, and compared in time with what was said and what was heard."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import av
import httpx
import numpy as np
import pytest

from antiphon.client import RATE, Caller, CallRefusedError, write_wav
from tests.integration.agents import LOWEST, RISE
from tests.integration.conftest import AGENTS
from tests.support import speech
from tests.support.cluster import LocalCluster
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.timeout(300)

_LOUD = 1_000
PLACED_S = 0.02


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def recording_cluster(folder: Path) -> Iterator[LocalCluster]:
    env = {"ANTIPHON_RECORDING__ENABLED": "true", "ANTIPHON_RECORDING__PATH": str(folder)}
    with LocalCluster("--agents", str(AGENTS), env=env) as running:
        yield running


def decoded(content: bytes) -> NDArray[np.int16]:
    with av.open(io.BytesIO(content), "r") as file:
        pieces = [frame.to_ndarray().ravel() for frame in file.decode(audio=0)]
        assert file.streams.audio[0].rate == RATE
    return (np.concatenate(pieces) * 32767).astype(np.int16)


def tone(frequency: float, seconds: float) -> NDArray[np.int16]:
    times = np.arange(int(seconds * RATE)) / RATE
    return (8_000 * np.sin(2 * np.pi * frequency * times)).astype(np.int16)


def loud(pcm: NDArray[np.int16], begin: float = 0.0) -> tuple[float, float]:
    """When a recording is first and last loud, in seconds."""
    found = np.flatnonzero(np.abs(pcm[round(begin * RATE) :]) > _LOUD)
    assert len(found), "all of it is silent"
    return begin + found[0] / RATE, begin + (found[-1] + 1) / RATE


def sung_at(pcm: NDArray[np.int16], moment: float) -> float:
    """Which second of its tone an agent is at, at a moment of a recording."""
    at = round(moment * RATE)
    spectrum = np.abs(np.fft.rfft(pcm[at - 1200 : at + 1200] * np.hanning(2400), 1 << 17))
    return float(np.argmax(spectrum) * RATE / (1 << 17) - LOWEST) / RISE


async def recording(cluster: LocalCluster, session: str) -> dict[str, Any]:
    """Once it is finished."""

    async def finished() -> dict[str, Any] | None:
        answer = await asyncio.to_thread(cluster.get, f"/v1/sessions/{session}/recording")
        part = answer.json()["parts"][0] if answer.status_code == httpx.codes.OK else {}
        return part if part.get("tracks") else None

    return await until(finished, what="the recording")


def tracks(cluster: LocalCluster, part: dict[str, Any]) -> dict[str, NDArray[np.int16]]:
    found = {}
    for track in part["tracks"]:
        answer = cluster.get(track["url"])
        assert answer.headers["Content-Type"] == "audio/ogg"
        assert len(answer.content) == track["bytes"]
        found[track["track"]] = decoded(answer.content)
        assert len(found[track["track"]]) / RATE == pytest.approx(track["seconds"], abs=0.05)
    return found


async def test_both_tracks_are_placed_where_it_was_said_and_heard(recording_cluster: LocalCluster) -> None:
    async with Caller(recording_cluster.url, agent="orator", region="frankfurt", recording=True) as caller:
        await caller.wait_for(lambda: caller.journal.recording == "started")
        await asyncio.sleep(1.0)
        first, _ = await caller.play(tone(500, 0.5), RATE)
        await asyncio.sleep(1.0)
        second, second_end = await caller.play(tone(700, 0.7), RATE)
        await caller.send(6.0)
        await caller.wait_for(lambda: bool(caller.hearing.stretches), within=60)
        await asyncio.sleep(1.3)
        await caller.send("stop")
        await caller.wait_for(lambda: bool(caller.messages), within=60)
        await asyncio.sleep(1.0)
        told = caller.messages[-1]
        heard = loud(caller.recording())
    part = await recording(recording_cluster, caller.session)
    assert (part["state"], part["reason"], part["dropped"]) == ("complete", "session_ended", {})
    sides = tracks(recording_cluster, part)
    assert len(sides["caller"]) == pytest.approx(len(sides["agent"]), abs=RATE / 25)

    # Of the caller's: between the two tones lies what lay between them when they were played.
    begin, _ = loud(sides["caller"])
    second_begin, end = loud(sides["caller"], begin + 1.0)
    assert second_begin - begin == pytest.approx(second - first, abs=PLACED_S)
    assert end - second_begin == pytest.approx(second_end - second, abs=PLACED_S)
    # Of the agent's: as much as was heard, and that is the begin of what it sang.
    sung, silent = loud(sides["agent"])
    assert told["cut"] == "stopped"
    assert silent - sung == pytest.approx(told["heard"], abs=PLACED_S + 0.01)
    for into in (0.3, 1.0):
        assert sung_at(sides["agent"], sung + into) == pytest.approx(into, abs=PLACED_S)
    # Between the sides: as it was for the caller.
    assert sung - begin == pytest.approx(heard[0] - first, abs=0.15)


async def test_what_interrupts_cuts_the_agents_track_where_it_was_heard_to_end(recording_cluster: LocalCluster) -> None:
    words = speech.say("Excuse me, I would like to say something, too.", RATE)
    async with Caller(recording_cluster.url, agent="raconteur", region="frankfurt", recording=True) as caller:
        await caller.send(12.0)
        await caller.wait_for(lambda: bool(caller.hearing.stretches), within=60)
        await asyncio.sleep(1.0)
        await caller.play(words, RATE)
        await caller.wait_for(lambda: bool(caller.messages), within=60)
        await asyncio.sleep(1.0)
        told = caller.messages[-1]
    assert told["cut"] == "interrupted"
    sides = tracks(recording_cluster, await recording(recording_cluster, caller.session))
    sung, silent = loud(sides["agent"])
    assert sung_at(sides["agent"], silent - 0.05) == pytest.approx(told["heard"] - 0.05, abs=PLACED_S + 0.01)
    # It may have been held for a while before: that is silence in between, which lasts as long in the recording.
    pieces = sides["agent"][round(sung * RATE) : round(silent * RATE)]
    blocks = np.abs(pieces[: len(pieces) // 480 * 480].reshape(-1, 480)).max(axis=1) > _LOUD
    assert np.count_nonzero(blocks) / 100 == pytest.approx(told["heard"], abs=0.05)
    # The caller's words begin while the agent sings.
    spoke, _ = loud(sides["caller"])
    assert sung < spoke < silent + 0.5


async def test_a_call_from_the_shell_is_recorded_where_it_says_so(
    recording_cluster: LocalCluster, tmp_path: Path
) -> None:
    write_wav(tmp_path / "in.wav", tone(500, 1.0))
    command = [sys.executable, "-m", "antiphon.cli", "call", "--url", recording_cluster.url, "--agent", "echo"]
    command += ["--play", str(tmp_path / "in.wav"), "--recording", "--json"]
    result = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=110, check=False)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["kept"] == "started"
    part = await recording(recording_cluster, told["session"])
    assert {track["track"] for track in part["tracks"]} == {"caller", "agent"}


async def test_a_session_that_is_not_asked_to_be_is_not_recorded(recording_cluster: LocalCluster, folder: Path) -> None:
    async with Caller(recording_cluster.url, agent="mirror", region="frankfurt") as caller:
        await caller.send("hello")
        await caller.wait_for(lambda: bool(caller.messages), within=60)
    assert recording_cluster.get(f"/v1/sessions/{caller.session}/recording").status_code == httpx.codes.NOT_FOUND
    assert not await asyncio.to_thread(lambda: list(folder.glob(f"*/{caller.session}")))


async def test_a_cluster_that_does_not_record_refuses_the_wish(cluster: LocalCluster) -> None:
    with pytest.raises(CallRefusedError, match=r"recording\.enabled is not set"):
        async with Caller(cluster.url, agent="mirror", recording=True):
            pass
