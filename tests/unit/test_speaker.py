"""Speech towards an edge that says little, late, or nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from antiphon.opus import SILENCE_20_MS
from antiphon.testing import VirtualTimeLoop
from antiphon.worker.audio import Packet
from antiphon.worker.speaker import Speaker
from antiphon.worker.transport import LAST, HeardBasis, PlayoutState
from antiphon.worker.utterance import Said


class SilentEdge:
    """Takes everything and reports nothing by itself."""

    def __init__(self) -> None:
        self.played: list[tuple[int, int, int, int]] = []
        self.flushed: list[int] = []
        self.held = False
        self.released = 0
        self.policies: list[bool] = []
        self.states: list[tuple[int, str]] = []
        self.speaker = Speaker(self, lambda utterance, state: self.states.append((utterance.number, state)))

    def play(self, utterance: int, generation: int, duration: int, flags: int, payload: bytes, level: int = 0) -> None:
        self.played.append((utterance, generation, duration, flags))

    def hold(self) -> None:
        self.held = True

    def resume(self) -> None:
        self.held = False

    def release(self) -> None:
        self.released += 1

    def done(self, timestamp: int) -> None: ...

    def set_policy(self, *, hold_on_voice: bool) -> None:
        self.policies.append(hold_on_voice)

    def flush(self, generation: int) -> None:
        self.flushed.append(generation)
        self.held = False

    def send_data(self, label: str, payload: bytes, *, binary: bool) -> None: ...

    def mute(self, muted: bool) -> None: ...  # noqa: FBT001

    def worker_s(self, edge_s: float) -> float:
        return edge_s

    def hang_up(self, reason: str, *, after_playout: bool) -> None: ...

    def say(self, count: int) -> asyncio.Task[Said]:
        async def packets() -> AsyncIterator[Packet]:
            for _ in range(count):
                yield Packet(SILENCE_20_MS, 960)

        return asyncio.create_task(self.speaker.say(packets(), lambda: None))


Run = Callable[[Callable[[SilentEdge], Awaitable[None]]], None]


@pytest.fixture
def in_virtual_time() -> Run:
    def run(story: Callable[[SilentEdge], Awaitable[None]]) -> None:
        async def whole() -> None:
            await story(SilentEdge())

        loop = VirtualTimeLoop()
        try:
            loop.run_until_complete(whole())
        finally:
            loop.close()

    return run


def test_without_reports_only_the_credit_is_sent(in_virtual_time: Run) -> None:
    async def story(edge: SilentEdge) -> None:
        saying = edge.say(500)
        await asyncio.sleep(60)
        assert len(edge.played) == 100
        edge.speaker.close()
        assert (await saying).cut == "closed"

    in_virtual_time(story)


def test_a_cut_is_told_after_a_second_when_the_edge_does_not_confirm_it(in_virtual_time: Run) -> None:
    async def story(edge: SilentEdge) -> None:
        saying = edge.say(50)
        await asyncio.sleep(0.1)
        edge.speaker.report(1, 9600, 4800, PlayoutState.PLAYING, 8640, HeardBasis.DEVICE, 2)
        edge.speaker.stop("stopped")
        said = await saying
        assert asyncio.get_running_loop().time() == pytest.approx(1.1)
        assert said == Said(1, 0.1, 1.0, "stopped", received=0.18, heard_by="device", underruns=2)
        assert edge.flushed == [1]
        assert edge.states == [(1, "started"), (1, "flushed")]

    in_virtual_time(story)


def test_an_end_that_crosses_a_flush_is_an_end(in_virtual_time: Run) -> None:
    async def story(edge: SilentEdge) -> None:
        saying = edge.say(10)
        await asyncio.sleep(0.1)
        assert edge.played[-1] == (1, 0, 0, LAST)
        edge.speaker.stop("interrupted")
        edge.speaker.report(1, 9600, 9600, PlayoutState.ENDED)
        assert (await saying).complete

    in_virtual_time(story)


def test_cancelling_flushes_and_the_next_utterance_is_of_the_new_generation(in_virtual_time: Run) -> None:
    async def story(edge: SilentEdge) -> None:
        saying = edge.say(10)
        await asyncio.sleep(0.1)
        saying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saying
        assert edge.flushed == [1]
        assert not edge.speaker.speaking
        again = edge.say(1)
        await asyncio.sleep(0.1)
        assert edge.played[-2:] == [(2, 1, 960, 0), (2, 1, 0, LAST)]
        edge.speaker.report(2, 960, 960, PlayoutState.ENDED)
        assert (await again).complete

    in_virtual_time(story)


def test_an_iterator_that_fails_flushes_and_raises(in_virtual_time: Run) -> None:
    async def story(edge: SilentEdge) -> None:
        async def packets() -> AsyncIterator[Packet]:
            yield Packet(SILENCE_20_MS, 960)
            raise KeyError("synthesis")

        with pytest.raises(KeyError):
            await edge.speaker.say(packets(), lambda: None)
        assert edge.flushed == [1]

    in_virtual_time(story)


def test_nothing_to_say_is_said_at_once(in_virtual_time: Run) -> None:
    async def story(edge: SilentEdge) -> None:
        assert await edge.say(0) == Said(0, 0.0, 0.0, None)
        assert edge.played == []

    in_virtual_time(story)


def test_reports_of_other_utterances_and_after_the_end_are_ignored(in_virtual_time: Run) -> None:
    async def story(edge: SilentEdge) -> None:
        edge.speaker.report(1, 960, 960, PlayoutState.ENDED)
        saying = edge.say(5)
        await asyncio.sleep(0.1)
        edge.speaker.report(7, 96000, 96000, PlayoutState.ENDED)
        assert not saying.done()
        edge.speaker.report(1, 4800, 4800, PlayoutState.ENDED)
        assert (await saying).heard == 0.1
        edge.speaker.report(1, 0, 0, PlayoutState.FLUSHED)

    in_virtual_time(story)


def test_a_doubt_holds_only_what_is_being_said_and_lapses_with_it(in_virtual_time: Run) -> None:
    async def story(edge: SilentEdge) -> None:
        edge.speaker.doubt(True)
        assert not edge.held  # nothing is said
        saying = edge.say(5)
        await asyncio.sleep(0.1)
        edge.speaker.doubt(True)
        assert edge.held
        edge.speaker.report(1, 4800, 4800, PlayoutState.ENDED)
        assert (await saying).complete
        edge.speaker.doubt(False)
        assert not edge.held
        saying = edge.say(50)
        await asyncio.sleep(0.1)
        edge.speaker.hold()
        edge.speaker.doubt(True)
        edge.speaker.doubt(False)
        assert edge.held  # the agent's own wish
        edge.speaker.stop("stopped")
        edge.speaker.doubt(False)
        assert not edge.held
        assert (await saying).cut == "stopped"

    in_virtual_time(story)


def test_after_the_end_nothing_reaches_the_edge(in_virtual_time: Run) -> None:
    async def story(edge: SilentEdge) -> None:
        edge.speaker.close()
        edge.speaker.forward(SILENCE_20_MS, 960)
        edge.speaker.hold()
        edge.speaker.stop("stopped")
        assert (await edge.say(3)).cut == "closed"
        assert (edge.played, edge.held, edge.flushed) == ([], False, [])

    in_virtual_time(story)
