"""Where frames of a recording belong in time: the caller's by their timestamps, the agent's by what was heard."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.worker.recording.events import Forwarded, Queued, Received, Reported, Settled
from antiphon.worker.recording.tracks import AgentTrack, CallerTrack, TimeLine

FRAME = 960
START_S = 100.0
EAR_S = 0.1


@dataclass
class Page:
    """A track that is kept in memory."""

    placed: list[tuple[int, bytes]] = field(default_factory=list)
    end: int = 0

    def place(self, at: int, duration: int, payload: bytes, *, bridge: bool) -> bool:
        if at < self.end - duration // 2:
            return False
        self.placed.append((at, payload))
        self.end = at + duration
        return True

    def pad(self, until: int, *, bridge: bool) -> None:
        self.end = max(self.end, until)

    def at(self, name: int) -> float | None:
        """Where a frame is, in seconds."""
        return next((at / 48_000 for at, payload in self.placed if payload == name.to_bytes(2)), None)


def received(number: int, late_s: float, *, repaired: bool = False) -> Received:
    begin_s = START_S + number * 0.02
    return Received(10_000 + number * FRAME, FRAME, number.to_bytes(2), None if repaired else begin_s + 0.02 + late_s)


@given(
    st.integers(0, 2**32),
    st.lists(st.sampled_from(["there", "there", "there", "repaired", "lost", "pause"]), min_size=1, max_size=400),
)
def test_a_callers_frames_stand_where_they_were_sampled(seed: int, fates: list[str]) -> None:
    random, line, page = Random(seed), TimeLine(), Page()
    track = CallerTrack(line, page)
    coming: list[tuple[float, int, bool]] = []
    for number, fate in enumerate(["there", *fates]):
        said_s = START_S + number * 0.02 + 0.02
        if fate == "there":
            coming.append((said_s + (random.random() * 0.04 if number else 0.0), number, False))
        elif fate == "repaired":
            coming.append((said_s + random.uniform(0.05, 1.5), number, True))
    line.begin(START_S - 1.0)
    heard: set[int] = set()
    next_step_s = START_S
    for arrival_s, number, repaired in sorted(coming):
        while next_step_s < arrival_s:
            track.advance(next_step_s)
            next_step_s += 0.5
        begin_s = arrival_s - 0.02 - START_S - number * 0.02
        track.hear(received(number, begin_s, repaired=repaired))
        heard.add(number)
    track.advance(max(arrival_s for arrival_s, *_ in coming) + 0.01, last=True)
    assert track.late == 0
    assert [int.from_bytes(payload) for _, payload in page.placed] == sorted(heard)
    for number in heard:
        assert page.at(number) == pytest.approx(1.0 + number * 0.02, abs=1e-3)


def test_what_comes_after_its_place_was_written_is_counted() -> None:
    line, page = TimeLine(), Page()
    track = CallerTrack(line, page)
    for number in range(200):
        if number != 5:
            track.hear(received(number, 0.0))
    track.advance(START_S + 4.0)
    track.hear(received(5, 0.0, repaired=True))
    track.advance(START_S + 4.1, last=True)
    assert track.late == 1
    assert page.at(5) is None


LATEST_S = 0.03
"""Reports come up to so much late, and a short stretch has few of which one may come at once."""


class Mouth:
    """An edge and a caller's device in virtual time: utterances are queued, held, resumed, starved and flushed."""

    def __init__(self) -> None:
        self.page = Page()
        line = TimeLine()
        line.begin(START_S)
        self.track = AgentTrack(line, self.page)
        self.now_s = START_S
        self.runs: list[tuple[int, float]] = []
        self.sent = 0
        self.began_us = 0

    def queue(self, frames: int) -> None:
        for number in range(frames):
            self.track.queue(Queued(1, (number + 1) * FRAME, FRAME, number.to_bytes(2)))

    def heard(self) -> int:
        """By the ear, at this moment."""
        ear_s = self.now_s - EAR_S
        past = 0
        for (begin, at_s), after in zip(self.runs, [*self.runs[1:], None], strict=True):
            until = self.sent if after is None else after[0]
            if ear_s > at_s:
                past = max(past, min(begin + round((ear_s - at_s) * 48_000), until))
        return past

    def begin(self) -> None:
        self.began_us = round(self.now_s * 1e6)
        self.runs.append((0, self.now_s))
        self.sent = FRAME
        self.report()

    def play(self, seconds: float, noise: Random) -> None:
        end_s = self.now_s + seconds
        begin, at_s = self.runs[-1]
        while self.now_s < end_s - 1e-9:
            self.now_s = min(self.now_s + 0.1, end_s)
            frames = int((self.now_s - at_s) / 0.02 + 1e-6) + 1
            self.sent = begin + frames * FRAME
            self.report(noise.random() * LATEST_S)

    def pause(self, seconds: float) -> None:
        self.report(paused=True)
        self.now_s += seconds
        self.runs.append((self.sent, self.now_s))
        self.report()

    def report(self, late_s: float = 0.0, *, paused: bool = False) -> None:
        self.track.report(Reported(self.now_s + late_s, 1, self.sent, self.heard(), paused, 0, self.began_us, EAR_S))

    def settle(self, heard: int) -> None:
        self.track.settle(Settled(self.now_s, 1, heard))


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.floats(0.3, 3.0), st.floats(0.05, 2.0)), max_size=4))
def test_an_agents_frames_stand_where_they_were_heard_and_pauses_move_them(
    seed: int, pauses: list[tuple[float, float]]
) -> None:
    noise, mouth = Random(seed), Mouth()
    mouth.queue(2_000)
    mouth.now_s += 0.5
    mouth.begin()
    for plays_s, pause_s in pauses:
        mouth.play(plays_s, noise)
        mouth.pause(pause_s)
    mouth.play(1.5, noise)
    heard = mouth.heard()
    mouth.settle(heard)
    names = [int.from_bytes(payload) for _, payload in mouth.page.placed]
    assert names == list(range(len(names))), "nothing twice, nothing left out"
    assert len(names) * FRAME == pytest.approx(heard, abs=FRAME // 2)
    assert mouth.track.unheard == 2_000 - len(names)
    for begin, at_s in mouth.runs:
        if begin // FRAME < len(names):
            expected = at_s + EAR_S - START_S
            assert mouth.page.at(begin // FRAME) == pytest.approx(expected, abs=LATEST_S)


def test_what_was_flushed_unheard_has_no_place() -> None:
    mouth = Mouth()
    mouth.queue(500)
    mouth.begin()
    mouth.play(1.0, Random(1))
    mouth.settle(mouth.heard())
    mouth.track.advance(mouth.now_s + 5.0, last=True)
    ends_s = mouth.page.placed[-1][0] / 48_000 + 0.02
    assert ends_s == pytest.approx(mouth.now_s - START_S, abs=0.02)
    assert mouth.page.end == pytest.approx((mouth.now_s + 5.0 - START_S) * 48_000, abs=FRAME)


def test_an_utterance_that_moves_to_another_edge_goes_on_where_that_took_it_up() -> None:
    mouth = Mouth()
    mouth.queue(500)
    mouth.begin()
    mouth.play(1.0, Random(2))
    base = 40 * FRAME  # what the edge that was left had sent
    there_s = mouth.now_s + 0.6
    for step in range(1, 15):
        now_s = there_s + 0.1 * step
        heard = base + max(0, round((now_s - there_s - EAR_S) * 48_000))
        began_us = round(there_s * 1e6)
        mouth.track.report(Reported(now_s, 1, heard + 4_800, heard, False, base, began_us, EAR_S))
    assert mouth.page.at(39) == pytest.approx(EAR_S + 39 * 0.02, abs=0.02)
    assert mouth.page.at(40) == pytest.approx(there_s + EAR_S - START_S, abs=0.02)


def test_what_is_forwarded_stands_without_holes_though_it_comes_unevenly() -> None:
    line, page, random = TimeLine(), Page(), Random(3)
    line.begin(START_S)
    track = AgentTrack(line, page)
    for number in range(100):
        track.forward(Forwarded(START_S + number * 0.02 + random.random() * 0.02, FRAME, number.to_bytes(2)))
    track.forward(Forwarded(START_S + 5.0, FRAME, (100).to_bytes(2)))
    assert all(after[0] - before[0] == FRAME for before, after in pairwise(page.placed[:100]))
    assert page.at(100) == pytest.approx(5.0 + EAR_S, abs=0.001)
