"""What becomes of a hold: the edge's is answered by a turn or by none, and the agent's own stays."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from antiphon.frames import Frame, VoiceHint
from antiphon.opus import SILENCE_20_MS, pcm_level
from antiphon.testing import VirtualTimeLoop
from antiphon.turns import HintedVoice
from antiphon.worker.audio import frame_level
from antiphon.worker.call import Call, Hearing
from antiphon.worker.holds import Command, Holds, Owner
from antiphon.worker.session import Session
from antiphon.worker.transport import CallInfo, PlayoutState

VOICE, QUIET = 0x180 | 20, 0x17F
INFO = CallInfo("ses_1", 1, "talker", {}, "127.0.0.1", "edge-1", "here", "worker-1")


class Edge:
    """Notes what it is told, with the time."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str]] = []

    def _note(self, what: str) -> None:
        self.told.append((round(asyncio.get_running_loop().time(), 3), what))

    def play(
        self, utterance: int, generation: int, duration: int, flags: int, payload: bytes, level: int = 0
    ) -> None: ...

    def hold(self) -> None:
        self._note("hold")

    def resume(self) -> None:
        self._note("resume")

    def release(self) -> None:
        self._note("release")

    def done(self, timestamp: int) -> None: ...

    def set_policy(self, *, hold_on_voice: bool) -> None:
        self._note(f"policy {hold_on_voice}")

    def flush(self, generation: int) -> None:
        self._note("flush")

    def send_data(self, label: str, payload: bytes, *, binary: bool) -> None: ...

    def mute(self, muted: bool) -> None: ...  # noqa: FBT001

    def worker_s(self, edge_s: float) -> float:
        return edge_s

    def hang_up(self, reason: str, *, after_playout: bool) -> None: ...

    def since(self, begin: float) -> list[tuple[float, str]]:
        return [(round(at - begin, 3), what) for at, what in self.told if at >= begin]


class Talk:
    """A call whose agent says ten seconds, and the caller's frames."""

    def __init__(self, *, protected: bool = False) -> None:
        self.edge = Edge()
        self.call = Call(INFO, self.edge, Hearing(HintedVoice()), lambda _: None)
        self.session = Session(self.call)
        self._sequence = itertools.count()
        self.call.start(self._agent(protected=protected))

    async def _agent(self, *, protected: bool) -> None:
        @self.session.on_turn
        async def reply(_: object) -> None: ...

        await self.session.say([SILENCE_20_MS] * 500, protected=protected)

    async def begin(self) -> None:
        await asyncio.sleep(0)
        self.call.connected()
        await asyncio.sleep(0.1)
        self.call.speaker.report(1, 4800, 2400, PlayoutState.PLAYING)

    async def end(self) -> None:
        self.call.close("bye")
        await self.call.wait_tasks()

    async def hear(self, level: int, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            number = next(self._sequence)
            self.call.hear(Frame(number, number * 960, 0, 960, level, 0, SILENCE_20_MS))
            await asyncio.sleep(0.02)

    def notice(self, *, held: bool, onset: bool = True) -> float:
        self.call.noticed(VoiceHint(0, 0, onset, -20, held))
        return round(asyncio.get_running_loop().time(), 3)


Story = Callable[[], Awaitable[None]]


@pytest.fixture
def in_virtual_time() -> Callable[[Story], None]:
    def run(story: Story) -> None:
        loop = VirtualTimeLoop()
        try:
            loop.run_until_complete(story())
        finally:
            loop.close()

    return run


def test_a_hold_with_no_turn_behind_it_is_released_after_300_ms(in_virtual_time: Callable[[Story], None]) -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        await talk.hear(QUIET, 0.1)
        begin = talk.notice(held=True)
        await talk.hear(QUIET, 1.0)
        assert talk.edge.since(begin) == [(0.3, "release")]
        await talk.end()

    in_virtual_time(story)


def test_a_hold_that_becomes_a_turn_is_flushed_and_not_released(in_virtual_time: Callable[[Story], None]) -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        begin = talk.notice(held=True)
        await talk.hear(VOICE, 1.0)
        assert [what for _, what in talk.edge.since(begin)] == ["flush"]
        await talk.end()

    in_virtual_time(story)


def test_an_onset_while_nothing_is_said_teaches_the_edge_as_well(in_virtual_time: Callable[[Story], None]) -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        talk.session.stop()
        await talk.hear(QUIET, 0.1)
        begin = talk.notice(held=False)
        await talk.hear(QUIET, 1.0)
        assert talk.edge.since(begin) == [(0.3, "release")]
        begin = talk.notice(held=False)
        await talk.hear(VOICE, 1.0)
        assert talk.edge.since(begin) == []
        await talk.end()

    in_virtual_time(story)


def test_the_agent_s_own_hold_outlasts_the_edge_s(in_virtual_time: Callable[[Story], None]) -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        await talk.hear(QUIET, 0.1)
        begin = talk.notice(held=True)
        talk.session.hold()
        await talk.hear(QUIET, 1.0)
        assert talk.edge.since(begin) == [(0.0, "hold"), (0.3, "release")]
        talk.session.resume()
        assert talk.edge.told[-1][1] == "resume"
        await talk.end()

    in_virtual_time(story)


def test_the_edge_may_hold_where_the_agent_listens_for_turns_and_not_while_something_protected_is_said(
    in_virtual_time: Callable[[Story], None],
) -> None:
    async def story() -> None:
        talk = Talk(protected=True)
        await talk.begin()
        assert [what for _, what in talk.edge.told] == ["policy True", "policy False"]
        begin = talk.notice(held=True)  # it was on its way
        await talk.hear(VOICE, 0.5)
        assert talk.edge.since(begin) == [(0.0, "release")]
        talk.call.speaker.report(1, 480_000, 480_000, PlayoutState.ENDED)
        await talk.hear(QUIET, 0.1)
        assert talk.edge.told[-1][1] == "policy True"
        await talk.end()

    in_virtual_time(story)


def test_without_interruptions_the_agent_speaks_on(in_virtual_time: Callable[[Story], None]) -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        talk.session.interruptions = "never"
        begin = round(asyncio.get_running_loop().time(), 3)
        await talk.hear(VOICE, 1.0)
        assert talk.edge.since(begin) == [(0.0, "policy False")]
        assert talk.session.speaking
        await talk.end()

    in_virtual_time(story)


def test_the_edge_is_told_to_hold_exactly_while_somebody_here_wants_it() -> None:
    for order in itertools.permutations(Owner):
        holds, told = Holds(), []
        for owner in order:
            holds, command = holds.take(owner)
            told.append(command)
        assert told.count(Command.HOLD) == 1
        for owner in order:
            holds, command = holds.let_go(owner)
            told.append(command)
        assert told.count(Command.RESUME) == 1
        assert holds == Holds()


def test_levels_are_those_of_rfc_6464() -> None:
    assert pcm_level(np.zeros(960, np.int16)) == 127
    assert pcm_level(np.full(960, -32768, np.int16)) == 1  # 0 is for unknown
    sine = (32767 * np.sin(np.arange(960) * 2 * np.pi / 48)).astype(np.int16)
    assert pcm_level(sine) == 3
    assert frame_level(Frame(0, 0, 0, 960, 0, 0, b"")) == 0
    assert frame_level(Frame(0, 0, 0, 960, 0x100 | 0x80 | 42, 0, b"")) == 42
