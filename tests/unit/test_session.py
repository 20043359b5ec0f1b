"""What an agent's code can do with a session, in virtual time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from antiphon.frames import Frame, Gap
from antiphon.opus import SILENCE_20_MS, Decoder, Encoder
from antiphon.testing import AgentFailedError, SimulatedCall
from antiphon.turns import TurnPolicy
from antiphon.worker import Said, Session, Turn
from antiphon.worker.audio import packets
from antiphon.worker.ingest import QUEUE_FRAMES, GapQueue
from tests.support.speech import say

AgentCall = Callable[..., SimulatedCall]


def tone(seconds: float, rate: int) -> np.ndarray:
    return np.asarray(8000 * np.sin(np.arange(round(seconds * rate)) * (2 * np.pi * 300 / rate)), np.int16)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
@pytest.mark.parametrize("kind", ["int16", "float", "iterator", "async iterator"])
def test_pcm_of_any_rate_and_kind_is_said(agent_call: AgentCall, rate: int, kind: str) -> None:
    said: list[Said] = []
    samples = tone(1.0, rate)

    def pieces() -> Iterator[np.ndarray]:
        yield from np.array_split(samples, 7)

    async def slow_pieces() -> AsyncIterator[np.ndarray]:
        for piece in pieces():
            await asyncio.sleep(0.05)
            yield piece

    audio: Any = {
        "int16": samples,
        "float": samples.astype(np.float32) / 32768,
        "iterator": pieces(),
        "async iterator": slow_pieces(),
    }[kind]

    async def agent(session: Session) -> None:
        said.append(await session.say(audio, rate=rate))

    call = agent_call(agent)
    heard = call.hears()
    assert heard.complete
    assert heard.length == pytest.approx(1.0, abs=0.045)
    call.waits(0.1)
    assert said[0].complete
    assert said[0].heard == said[0].length == heard.length
    loud = heard.pcm(16000)[4000:12000].astype(float)
    spectrum = np.abs(np.fft.rfft(loud))
    assert abs(np.argmax(spectrum) * 16000 / len(loud) - 300) < 10


async def test_an_iterator_that_blocks_leaves_the_event_loop_free() -> None:
    def slow() -> Iterator[bytes]:
        for _ in range(3):
            time.sleep(0.1)
            yield SILENCE_20_MS

    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    counting = asyncio.create_task(count_turns())
    assert [packet.payload async for packet in packets(slow(), None)] == [SILENCE_20_MS] * 3
    counting.cancel()
    assert turns >= 15


async def test_an_iterators_error_is_raised_where_it_is_said() -> None:
    def broken() -> Iterator[bytes]:
        yield SILENCE_20_MS
        raise LookupError("no more words")

    with pytest.raises(LookupError, match="no more words"):
        _ = [packet async for packet in packets(broken(), None)]


@pytest.mark.parametrize(
    ("audio", "rate", "expected"),
    [
        (np.zeros(100, np.int16), None, "rate"),
        (np.zeros((2, 100), np.int16), 16000, "mono"),
        (np.zeros(100, np.int32), 16000, "int32"),
        (b"", None, "no Opus packet"),
        ("hello", None, "session.voice"),
    ],
)
def test_what_cannot_be_said_is_refused_in_words(
    agent_call: AgentCall, audio: Any, rate: int | None, expected: str
) -> None:
    async def agent(session: Session) -> None:
        await session.say(audio, rate=rate)

    with pytest.raises(AgentFailedError, match=expected):
        agent_call(agent).waits(1)


def test_audio_is_taken_faster_than_real_time_but_only_two_seconds_ahead(agent_call: AgentCall) -> None:
    taken: list[float] = []

    async def agent(session: Session) -> None:
        loop = asyncio.get_running_loop()

        def packets() -> Iterator[bytes]:
            for _ in range(500):
                taken.append(loop.time())
                yield SILENCE_20_MS

        await session.say(packets())

    call = agent_call(agent)
    call.waits(0.05)
    assert 100 <= len(taken) <= 104
    call.waits(5.0)
    assert 340 <= len(taken) <= 360
    assert call.hears().complete


def test_utterances_follow_one_another(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        await asyncio.gather(*(session.say(tone(0.5, 16000), rate=16000) for _ in range(3)))

    call = agent_call(agent)
    heard = [call.hears() for _ in range(3)]
    assert [one.utterance for one in heard] == [1, 2, 3]
    for earlier, later in pairwise(heard):
        assert earlier.ended_at is not None
        assert later.started_at is not None
        assert earlier.ended_at <= later.started_at < earlier.ended_at + 0.1


def test_stop_cuts_and_what_follows_is_said(agent_call: AgentCall) -> None:
    said: list[Said] = []

    async def agent(session: Session) -> None:
        async def speak() -> None:
            said.append(await session.say(tone(3.0, 16000), rate=16000))

        speaking = asyncio.create_task(speak())
        await asyncio.sleep(1.0)
        assert session.speaking
        session.stop()
        await speaking
        assert not session.speaking
        said.append(await session.say(tone(0.2, 16000), rate=16000))

    call = agent_call(agent)
    assert not call.hears().complete
    assert call.hears().complete
    call.waits(0.1)
    assert [one.cut for one in said] == ["stopped", None]
    assert said[0].heard == pytest.approx(0.96, abs=0.045)


def test_hold_pauses_and_resume_goes_on(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        async def pause() -> None:
            await asyncio.sleep(0.5)
            session.hold()
            await asyncio.sleep(2.0)
            session.resume()

        pausing = asyncio.create_task(pause())
        await session.say(tone(1.0, 16000), rate=16000)
        await pausing

    call = agent_call(agent)
    heard = call.hears()
    assert heard.complete
    assert (heard.ended_at or 0) - (heard.started_at or 0) == pytest.approx(3.0, abs=0.05)
    states = [event["state"] for event in call.event("agentUtterance")]
    assert states == ["started", "held", "resumed", "ended"]


def test_frames_show_gaps(agent_call: AgentCall) -> None:
    seen: list[Frame | Gap] = []

    async def agent(session: Session) -> None:
        async for item in session.frames(gaps=True):
            seen.append(item)  # noqa: PERF401 - a comprehension would lose all when cancelled

    call = agent_call(agent)
    call.says("testing", seconds=0.4, lost={5, 6, 9})
    gaps = [(item.first, item.missing) for item in seen if isinstance(item, Gap)]
    frames = [item.sequence for item in seen if isinstance(item, Frame)]
    assert len(gaps) == 3
    assert gaps[1][0] == gaps[0][0] + 1
    assert sorted([*frames, *(first for first, _ in gaps)]) == list(range(len(frames) + 3))


def test_a_reader_that_falls_behind_loses_the_oldest_and_sees_it(agent_call: AgentCall) -> None:
    seen: list[Frame | Gap] = []

    async def agent(session: Session) -> None:
        reader = session.frames(gaps=True)
        await asyncio.sleep(15)
        async for item in reader:
            seen.append(item)  # noqa: PERF401 - a comprehension would lose all when cancelled

    call = agent_call(agent)
    call.waits(16)
    gap = seen[0]
    assert isinstance(gap, Gap)
    assert gap.lost
    assert 240 <= gap.missing <= 260
    assert isinstance(seen[1], Frame)
    assert seen[1].sequence == gap.first + gap.missing


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_pcm_is_unbroken_over_losses(agent_call: AgentCall, rate: int) -> None:
    pieces: list[np.ndarray] = []

    async def agent(session: Session) -> None:
        async for samples in session.pcm(rate):
            pieces.append(samples)  # noqa: PERF401 - a comprehension would lose all when cancelled

    call = agent_call(agent)
    call.says(say("nothing is missing here, or so it seems"), lost={10, 20, 21, 40})
    call.waits(0.5)
    samples = np.concatenate(pieces)
    assert abs(len(samples) / rate - call.time) < 0.05
    assert np.abs(samples.astype(int)).max() > 3000


def test_turns_carry_words_pcm_and_times(agent_call: AgentCall) -> None:
    turns: list[Turn] = []

    async def agent(session: Session) -> None:
        @session.on_turn
        async def note(turn: Turn) -> None:
            turns.append(turn)

    call = agent_call(agent)
    call.waits(2.0)
    call.says("what time is it", seconds=1.2)
    call.waits(1.0)
    (turn,) = turns
    assert turn.text == "what time is it"
    assert turn.seconds == pytest.approx(1.2, abs=0.03)
    assert turn.started == pytest.approx(2.0, abs=0.05)
    assert 1.2 <= len(turn.pcm(16000)) / 16000 <= 1.8


def test_a_turn_is_withdrawn_when_the_caller_goes_on_before_the_answer(agent_call: AgentCall) -> None:
    answered: list[str | None] = []
    cancelled: list[int] = []

    async def agent(session: Session) -> None:
        @session.on_turn
        async def think(turn: Turn) -> None:
            try:
                await asyncio.sleep(1.0)
            except asyncio.CancelledError:
                cancelled.append(turn.number)
                raise
            answered.append(turn.text)
            await session.say(turn.audio)

    call = agent_call(agent)
    call.says("I would like", seconds=1.0)
    call.waits(1.0)
    call.says("a cup of tea", seconds=1.0)
    assert cancelled == [1]
    heard = call.hears()
    assert answered == ["I would like a cup of tea"]
    assert heard.complete
    assert heard.length > 2.9  # both halves, with the pause between them
    assert [turn["state"] for turn in call.event("callerTurn")] == [
        "started", "ended", "withdrawn", "started", "ended",
    ]  # fmt: skip


def test_nothing_more_of_an_interrupted_reply_is_said(agent_call: AgentCall) -> None:
    said: list[Said] = []

    async def agent(session: Session) -> None:
        @session.on_turn
        async def reply(_: Turn) -> None:
            while len(said) < 3:
                said.append(await session.say(tone(1.0, 16000), rate=16000))
            await asyncio.sleep(10)

    call = agent_call(agent)
    call.says("go")
    call.waits(2.0)
    call.says("stop that", seconds=0.5)
    assert [one.cut for one in said] == [None, "interrupted", "interrupted"]
    assert said[2] == Said(0, 0.0, 0.0, "interrupted")


def test_messages_go_both_ways_and_may_be_handled_slowly(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        @session.on_message
        async def double(number: int) -> None:
            await asyncio.sleep(0.1)
            session.send(number * 2)

        session.send_data("notes", b"\x00\x01")
        session.send_data("notes", "text")

    call = agent_call(agent)
    call.sends(21)
    call.sends(4)
    call.waits(0.2)
    assert call.messages == [42, 8]
    assert call.data == [("notes", b"\x00\x01"), ("notes", b"text")]
    assert call.event("sessionStarted")[0]["agent"] == "agent"


def test_a_message_that_no_data_channel_takes_is_refused_where_it_is_sent(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        session.send("x" * 65_000)
        session.send("x" * 66_000)

    with pytest.raises(AgentFailedError, match="a data channel takes 65536 at most"):
        agent_call(agent).waits(0.1)


def test_metadata_reaches_the_agent(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        session.send(dict(session.metadata))
        await session.wait_closed()

    call = agent_call(agent, metadata={"user": {"name": "Ada"}})
    call.waits(0.1)
    assert call.messages == [{"user": {"name": "Ada"}}]


def test_hanging_up_lets_the_last_words_be_heard(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        asyncio.get_running_loop().call_later(0.5, session.hang_up, "goodbye")
        await session.say(tone(1.0, 16000), rate=16000)
        await session.wait_closed()

    call = agent_call(agent)
    assert call.hears().complete
    call.waits(0.1)
    assert call.ended == "goodbye"
    assert call.event("sessionEnded") == [{"reason": "goodbye"}]


def test_an_agent_with_nothing_left_to_do_hangs_up(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        await session.say(tone(0.5, 16000), rate=16000)

    call = agent_call(agent)
    call.waits(1.0)
    assert call.ended == "hangup"


def test_an_agents_exception_is_told(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        @session.on_turn
        async def fail(_: Turn) -> None:
            raise KeyError("model")

    call = agent_call(agent)
    call.says("hello")
    with pytest.raises(AgentFailedError, match="KeyError: 'model'"):
        call.hears()
    assert call.ended == "error"


def test_all_tasks_end_when_the_caller_leaves(agent_call: AgentCall) -> None:
    ended: list[str] = []

    async def agent(session: Session) -> None:
        @session.on_turn
        async def reply(turn: Turn) -> None:
            try:
                await session.say(turn.audio)
                await asyncio.sleep(100)
            finally:
                ended.append("turn")

        try:
            async for _ in session.frames():
                pass
        finally:
            ended.append("agent")

    call = agent_call(agent)
    call.says("hello")
    call.waits(2)
    call.hangs_up()
    assert sorted(ended) == ["agent", "turn"]


def test_work_in_threads_takes_no_virtual_time(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        packets = await asyncio.to_thread(lambda: [Encoder(48000).encode(np.zeros(960, np.int16)) for _ in range(50)])
        await session.say(packets)

    call = agent_call(agent)
    heard = call.hears()
    assert (heard.started_at or 0) < 0.03
    assert len(Decoder().decode(heard.packets[0])) == 960


def test_a_reader_that_the_agent_has_dropped_is_given_nothing_more(agent_call: AgentCall) -> None:
    first: list[Frame] = []

    async def agent(session: Session) -> None:
        for _ in range(3):
            async for frame in session.frames():
                first.append(frame)
                break
        await session.wait_closed()

    before = REGISTRY.get_sample_value("antiphon_worker_dropped_total", {"what": "frame", "reason": "agent_slow"}) or 0
    call = agent_call(agent)
    call.waits(15)
    after = REGISTRY.get_sample_value("antiphon_worker_dropped_total", {"what": "frame", "reason": "agent_slow"}) or 0
    assert len(first) == 3
    assert after == before


async def story(session: Session) -> None:
    await session.say(np.zeros(48_000 * 3, np.int16), rate=48_000)


def test_speech_pauses_at_the_first_sign_of_voice_and_is_cut_once_it_is_a_turn(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        @session.on_turn
        async def ignore(turn: Turn) -> None: ...

        await story(session)

    call = agent_call(agent, policy=TurnPolicy(sure=2.0, onset_s=0.3))
    call.waits(1.0)
    sent = call.said[0].sent
    call.says("wait", seconds=0.2)
    assert call.said[0].sent - sent <= 0.05  # in doubt: nothing leaves, nothing is lost
    assert call.said[0].ended_at is None
    heard = call.hears()
    assert heard.complete  # it was no turn
    states = [event["state"] for event in call.event("agentUtterance")]
    assert states == ["started", "held", "resumed", "ended"]


def test_a_doubt_does_not_end_a_pause_that_the_agent_made(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        @session.on_turn
        async def ignore(turn: Turn) -> None: ...

        session.on_message(lambda _: session.hold())
        await story(session)

    call = agent_call(agent, policy=TurnPolicy(sure=2.0, onset_s=0.3))
    call.waits(1.0)
    call.sends("hold")
    sent = call.said[0].sent
    call.says("wait", seconds=0.2)
    call.waits(2.0)
    assert call.said[0].sent - sent <= 0.05


def test_what_follows_an_interruption_is_not_held(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        @session.on_turn
        async def answer(turn: Turn) -> None:
            await session.say(np.zeros(48_000, np.int16), rate=48_000)

        await story(session)

    call = agent_call(agent, policy=TurnPolicy(sure=2.0, onset_s=0.1))
    call.waits(1.0)
    call.says("wait", seconds=0.5)
    assert not call.hears().complete
    assert call.hears().complete


async def test_a_repair_among_what_a_slow_reader_lost_leaves_the_gap_whole() -> None:
    reader = GapQueue()
    for sequence in (10, 11, 5, *range(12, 12 + QUEUE_FRAMES)):
        reader.put(Frame(sequence, sequence * 960, 0, 960, 0, 0, SILENCE_20_MS))
    assert await anext(reader) == Gap(5, 7, lost=True)
    assert (await anext(reader))[0] == 12
