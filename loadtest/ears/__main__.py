"""`make bench-ears`: how many sessions one core of a worker listens to, and how much later than their audio it judges.

Sessions talk half of the time, out of step, in real time; each has voice detection always, and the end-of-turn model
asked at its pauses. The process is bound to one core and does nothing else of a worker's work but decoding. A judgement
is late by what passes from its last frame's coming to its being told. Prints a table, writes `bench-results/ears.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import uvloop
from tests.support.speech import say

from antiphon.frames import Frame
from antiphon.opus import Encoder
from antiphon.turns import TurnPolicy
from antiphon.turns.actions import Action, Committed
from antiphon.turns.silero import SileroVoice
from antiphon.worker.listening import Listener
from loadtest.measuring.tools import ROOT
from loadtest.turns.clips import RATE, clips

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.turns.voice import Judged, VoiceStream

TARGET_SESSIONS, TARGET_MS = 60, 20.0
_FRAME_S, _TICKS = 0.02, 960
_WARM_S = 3.0


@dataclass
class Heard:
    sessions: int
    cores: float
    """Of CPU time."""
    p50_ms: float
    p99_ms: float
    turns: int
    overloaded: bool
    """Whether a worker would take no more sessions."""
    by_model: int
    """Turns that the end-of-turn model had a say in."""


def audio() -> list[bytes]:
    """Opus frames of speech and about as much silence."""
    found, recorded = clips()
    made = np.concatenate([say("So, how are you today?", RATE), np.zeros(RATE * 2, np.int16)])
    pieces = [clip.audio for clip in found] if recorded else [made]
    encoder, pcm = Encoder(RATE), np.concatenate(pieces)
    return [encoder.encode(block) for block in pcm[: len(pcm) // 320 * 320].reshape(-1, 320)]


class Session:
    """Feeds a listener, and notes how late each judgement is."""

    def __init__(self, voice: SileroVoice, frames: list[bytes], lateness: list[float]) -> None:
        self.turns = self.by_model = 0
        self._frames, self._at, self._sent = frames, random.randrange(len(frames)), 0
        self._came: dict[int, float] = {}
        self._lateness = lateness
        self.listener = Listener(_Timed(voice, self._judged), TurnPolicy(), self._act)

    def _act(self, action: Action) -> None:
        if isinstance(action, Committed):
            self.turns += 1
            self.by_model += action.probability is not None

    def _judged(self, end: int) -> None:
        came = self._came.pop(-(-end // _TICKS), None)
        if came is not None:
            self._lateness.append(time.perf_counter() - came)

    def push(self) -> None:
        self._sent += 1
        self._came[self._sent] = time.perf_counter()
        self._came.pop(self._sent - 100, None)
        payload = self._frames[(self._at + self._sent) % len(self._frames)]
        now_us = time.monotonic_ns() // 1000
        self.listener.hear(Frame(self._sent, (self._sent - 1) * _TICKS, now_us, _TICKS, 0, 0, payload))


class _Timed:
    """A detector that tells when it has judged."""

    def __init__(self, voice: SileroVoice, told: Callable[[int], None]) -> None:
        self._voice, self._told = voice, told

    def open(self, judged: Judged) -> VoiceStream:
        def both(start: int, end: int, probability: float) -> None:
            self._told(end)
            judged(start, end, probability)

        return self._voice.open(both)


async def listen(sessions: int, seconds: float, frames: list[bytes]) -> Heard:
    voice = SileroVoice()
    voice.start()
    while not voice.ready:  # noqa: ASYNC110 - there is nothing to wait on
        await asyncio.sleep(0.05)
    lateness: list[float] = []
    all_ = [Session(voice, frames, lateness) for _ in range(sessions)]
    loop = asyncio.get_running_loop()
    for session in all_:
        loop.call_later(random.random() * _FRAME_S, loop.create_task, _pace(session))
    await asyncio.sleep(_WARM_S)
    lateness.clear()
    turns, by_model = sum(one.turns for one in all_), sum(one.by_model for one in all_)
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    cores = (time.process_time() - cpu) / (time.perf_counter() - began)
    p50, p99 = np.percentile(lateness, [50, 99]) * 1000
    turns, by_model = sum(one.turns for one in all_) - turns, sum(one.by_model for one in all_) - by_model
    for session in all_:
        session.listener.close()
    await asyncio.to_thread(voice.close)
    return Heard(
        sessions, round(cores, 3), round(float(p50), 2), round(float(p99), 2), turns, voice.overloaded, by_model
    )


async def _pace(session: Session) -> None:
    due = time.perf_counter()
    while True:
        session.push()
        due += _FRAME_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--sessions", type=int, nargs="+", default=[20, 60, 100, 140, 180])
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results")
    arguments = parser.parse_args()
    frames = audio()
    core = max(os.sched_getaffinity(0))
    for thread in Path("/proc/self/task").iterdir():  # numpy's among them
        os.sched_setaffinity(int(thread.name), {core})
    print("| sessions | of a core | judged later by, p50 | p99 | turns | with the model | takes more |")
    print("|---|---|---|---|---|---|---|")
    found = []
    for sessions in arguments.sessions:
        heard = uvloop.run(listen(sessions, arguments.seconds, frames))
        found.append(heard)
        print(
            f"| {heard.sessions} | {heard.cores:.2f} | {heard.p50_ms:.1f} ms | {heard.p99_ms:.1f} ms | "
            f"{heard.turns} | {heard.by_model} | {'no' if heard.overloaded else 'yes'} |",
            flush=True,
        )
    within = max((heard.sessions for heard in found if heard.p99_ms <= TARGET_MS), default=0)
    met = "met" if within >= TARGET_SESSIONS else "missed"
    print(f"\n{within} sessions within {TARGET_MS:.0f} ms at p99. Target, {TARGET_SESSIONS}: {met}.")
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "ears.json").write_text(json.dumps([asdict(heard) for heard in found], indent=1), "utf-8")


if __name__ == "__main__":
    main()
