"""Finding turns in frames that come late, twice, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from antiphon.frames import REPAIR, Frame
from antiphon.opus import SILENCE_20_MS
from antiphon.testing import VirtualTimeLoop
from antiphon.turns import HintedVoice, TurnPolicy
from antiphon.turns.actions import Action, Committed, TurnStarted
from antiphon.worker import listening
from antiphon.worker.listening import Listener
from antiphon.worker.stretch import Stretch  # noqa: TC001 - pytest reads hints

VOICE, QUIET = 0x190, 0x17F


def frame(sequence: int, *, voice: bool, timestamp: int | None = None, flags: int = 0) -> Frame:
    at = sequence * 960 if timestamp is None else timestamp
    return Frame(sequence, at, 0, 960, VOICE if voice else QUIET, flags, SILENCE_20_MS)


class Ear:
    """A listener whose turns are kept, with when they were told."""

    def __init__(self) -> None:
        self.started: list[float] = []
        self.ended: list[tuple[float, Stretch]] = []
        self.listener = Listener(HintedVoice(), TurnPolicy(), self._act)

    def _act(self, action: Action) -> None:
        if isinstance(action, TurnStarted):
            self.started.append(action.began_s)
        elif isinstance(action, Committed):
            stretch = self.listener.cut_out(action.started_s, action.ended_s)
            self.ended.append((asyncio.get_running_loop().time(), stretch))

    async def hear(self, frames: list[Frame]) -> None:
        for one in frames:
            self.listener.hear(one)
            await asyncio.sleep(0.02)


@pytest.fixture
def in_virtual_time() -> Callable[[Callable[[Ear], Awaitable[None]]], Ear]:
    def run(story: Callable[[Ear], Awaitable[None]]) -> Ear:
        async def whole() -> Ear:
            ear = Ear()
            await story(ear)
            ear.listener.close()
            return ear

        loop = VirtualTimeLoop()
        try:
            return loop.run_until_complete(whole())
        finally:
            loop.close()

    return run


Run = Callable[[Callable[[Ear], Awaitable[None]]], Ear]


def test_a_caller_who_mutes_ends_the_turn(in_virtual_time: Run) -> None:
    async def story(ear: Ear) -> None:
        await ear.hear([frame(n, voice=True) for n in range(50)])
        await asyncio.sleep(2)

    ear = in_virtual_time(story)
    ((told, stretch),) = ear.ended
    assert ear.started == [0.0]
    assert stretch.ended_s == 1.0
    assert 1.6 <= told <= 1.9


def test_silence_of_dtx_is_silence_and_speech_after_it_another_turn(in_virtual_time: Run) -> None:
    async def story(ear: Ear) -> None:
        await ear.hear([frame(n, voice=True) for n in range(25)])
        for n in range(5):  # a comfort frame each 400 ms: the timestamp moves on, the sequence does not
            await asyncio.sleep(0.4)
            ear.listener.hear(frame(25 + n, voice=False, timestamp=25 * 960 + (n + 1) * 19200))
        await ear.hear([frame(30 + n, voice=True, timestamp=25 * 960 + 5 * 19200 + (n + 1) * 960) for n in range(25)])
        await asyncio.sleep(1)

    ear = in_virtual_time(story)
    assert len(ear.ended) == 2
    assert ear.ended[0][0] < 1.5
    assert ear.ended[1][1].frames[-1].sequence == 54
    assert all(stretch.frames for _, stretch in ear.ended)


def test_a_repair_takes_its_place_in_the_turn_and_a_copy_none(in_virtual_time: Run) -> None:
    async def story(ear: Ear) -> None:
        frames = [frame(n, voice=True) for n in range(50)]
        missing = frames.pop(20)
        frames.insert(30, missing._replace(flags=REPAIR))
        frames.insert(40, frames[10])
        await ear.hear(frames)
        await ear.hear([frame(n, voice=False) for n in range(50, 90)])

    ear = in_virtual_time(story)
    ((_, stretch),) = ear.ended
    sequences = [one.sequence for one in stretch.frames]
    assert sequences == list(range(60))
    assert stretch.frames[20].repaired


def test_a_turn_has_a_little_before_and_behind_it_but_not_more(in_virtual_time: Run) -> None:
    async def story(ear: Ear) -> None:
        await ear.hear([frame(n, voice=100 <= n < 150) for n in range(200)])

    ear = in_virtual_time(story)
    ((_, stretch),) = ear.ended
    assert stretch.frames[0].sequence == 90
    assert stretch.frames[-1].sequence == 159
    assert (stretch.started_s, stretch.ended_s) == (2.0, 3.0)


def test_frames_are_heard_while_something_is_due_on_uvloop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its handle of what is due already knows no time."""
    monkeypatch.setattr(listening, "wake_s", lambda _state, _policy: 0.0)

    async def story() -> None:
        ear = Ear()
        for number in range(3):
            ear.listener.hear(frame(number, voice=True))
        ear.listener.close()

    uvloop.run(story())
