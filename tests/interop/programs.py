"""Peers that are programs of their own: they play an Ogg Opus file, record what comes back, and tell at their end."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from tests.interop import talk
from tests.interop.hearing import RATE, SENTENCE, verdict
from tests.interop.world import TOKEN
from tests.support import speech

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tests.interop.facts import Facts
    from tests.interop.world import World

PATIENCE = 60.0


@dataclass(frozen=True)
class Program:
    """`command` gets --url, --token, --agent, --play, --record, --seconds; `decode` reads its recording at 16 kHz."""

    command: tuple[str, ...]
    decode: Callable[[Path], NDArray[np.int16]]


@dataclass(frozen=True)
class Outcome:
    """What the program told at its end, what the edge told before that, and what was recorded."""

    told: dict[str, Any]
    edge: dict[str, Any]
    heard: NDArray[np.int16]

    def tell_heard(self, facts: Facts, what: str) -> None:
        seen, wanted = verdict(self.heard)
        facts.add(what, f"{seen}; {len(self.heard) / RATE:.1f} s", wanted=wanted)


def call(world: World, program: Program, agent: str, *, seconds: float, loop: bool) -> Outcome:
    """One call from the caller's network. Raises RuntimeError with the program's own words."""
    with tempfile.TemporaryDirectory(prefix="antiphon-interop-") as folder:
        play, record = Path(folder, "play.ogg"), Path(folder, "record")
        write_ogg(play, [speech.silence(1.0, 48000), speech.say(SENTENCE, 48000), silence_after(loop, seconds)])
        asked = {"url": world.url, "token": TOKEN, "agent": agent, "play": play, "record": record, "seconds": seconds}
        arguments = [f"--{name}={value}" for name, value in asked.items()]
        with world.caller.entered():
            process = subprocess.Popen(
                (*program.command, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        with process:
            edge = _edge_at_the_end(world, process, seconds)
            output, errors = process.communicate(timeout=PATIENCE)
        if process.returncode != 0:
            raise RuntimeError(errors.strip()[-500:])
        return Outcome(json.loads(output.splitlines()[-1]), edge, program.decode(record))


def silence_after(loop: bool, seconds: float) -> NDArray[np.int16]:  # noqa: FBT001 - one of two recordings
    return speech.silence(0.5 if loop else seconds, 48000)


def _edge_at_the_end(world: World, process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    """The session as its edge sees it shortly before the program leaves."""
    assert process.stdout is not None
    first = process.stdout.readline()
    if not first:
        return {}
    time.sleep(max(0.0, seconds - 1.0))
    return world.session(json.loads(first)["session"])


def write_ogg(path: Path, pieces: Sequence[NDArray[np.int16]]) -> None:
    """Opus with in-band FEC, a frame of 20 ms a page."""
    pcm = np.concatenate(pieces)
    with av.open(str(path), "w", format="ogg", options={"page_duration": "20000"}) as file:
        stream = file.add_stream("libopus", rate=48000, layout="mono", options={"fec": "1", "packet_loss": "5"})
        frame = av.AudioFrame.from_ndarray(pcm[: len(pcm) // 960 * 960].reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 48000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def read_raw(path: Path) -> NDArray[np.int16]:
    """16-bit mono at 16 kHz, as GStreamer's filesink leaves it."""
    return (
        np.frombuffer(path.read_bytes()[: path.stat().st_size // 2 * 2], "<i2")
        if path.exists()
        else np.zeros(0, np.int16)
    )


def read_ogg(path: Path) -> NDArray[np.int16]:
    """Whatever FFmpeg can decode, mono at 16 kHz."""
    if not path.exists():
        return np.zeros(0, np.int16)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(path)) as file:
        pieces = [made.to_ndarray().reshape(-1) for frame in file.decode(audio=0) for made in resampler.resample(frame)]
    return np.concatenate(pieces).astype(np.int16) if pieces else np.zeros(0, np.int16)


def usual_calls(world: World, program: Program, facts: Facts, own: Callable[[dict[str, Any]], str]) -> None:
    """What every program is asked; `own` tells of its own counts."""
    world.path.both(talk.PERFECT)
    mirrored = call(world, program, "mirror", seconds=4.0, loop=True)
    security = mirrored.edge.get("security") or ""
    facts.add("sealed with", security, wanted="DTLS" in security)
    steps = ", ".join(f"{name} {us / 1000:.0f} ms" for name, us in mirrored.edge["setup_us"].items())
    facts.add("set-up at a round trip of 40 ms, by the edge", steps)
    back = any('"number":7' in text.replace(" ", "") for text in mirrored.told["messages"])
    facts.add("data channel: a message and its answer", "came" if back else "did not come", wanted=back)
    world.path.both(talk.LOSSY)
    parrot = tried(world, program, "parrot", facts, seconds=14.0, loop=False)
    if parrot is not None:
        parrot.tell_heard(facts, "the parrot repeats a sentence, 5 % loss each way")
    echo(world, program, facts, own, "5 % loss each way")


def echo(world: World, program: Program, facts: Facts, own: Callable[[dict[str, Any]], str], how: str) -> None:
    """A talk with the echo on the path as it is."""
    before = world.path.counts()
    outcome = tried(world, program, "echo", facts, seconds=talk.TALK_SECONDS, loop=True)
    if outcome is None:
        return
    after = world.path.counts()
    lost = {way: after[way]["lost"] - before[way]["lost"] for way in ("up", "down")}
    facts.add(f"{how}: packets lost by the path", f"{lost['up']} up, {lost['down']} down")
    facts.add(f"{how}: at the edge", talk.told(outcome.edge["quality"]))
    facts.add(f"{how}: at the peer", own(outcome.told))
    outcome.tell_heard(facts, f"{how}: the echo is heard")


def tried(world: World, program: Program, agent: str, facts: Facts, *, seconds: float, loop: bool) -> Outcome | None:
    """A call on a lossy path; that it did not come about is a fact."""
    try:
        return call(world, program, agent, seconds=seconds, loop=loop)
    except RuntimeError as error:
        facts.add(f"5 % loss each way: a call with {agent}", str(error).splitlines()[-1], wanted=False)
        return None
