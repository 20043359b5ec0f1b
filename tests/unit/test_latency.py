"""The latency trace of a turn: what its stages say, and that they add up."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.frames import Frame
from antiphon.opus import Encoder
from antiphon.testing import SimulatedCall
from antiphon.turns.actions import Committed, Reason
from antiphon.worker import Session, Turn
from antiphon.worker.last_sound import last_sound
from antiphon.worker.latency import STAGES, Playout, TurnTrace
from antiphon.worker.link.clocks import Clocks
from tests.unit.test_session import tone

AgentCall = Callable[..., SimulatedCall]
COMMIT = Committed(3.0, 1.0, 2.5, 2.8, Reason.END_OF_TURN, 0.9)


@given(
    marks=st.dictionaries(st.sampled_from(["transcript", "token", "frame", "mine"]), st.floats(90, 110)),
    spoke=st.floats(95, 105),
    lead=st.floats(0, 1),
    way=st.floats(0, 0.5),
)
def test_stages_follow_each_other_and_add_up(marks: dict[str, float], spoke: float, lead: float, way: float) -> None:
    trace = TurnTrace()
    for name, at in marks.items():
        trace.mark(name, at)
    trace.committed(COMMIT, spoke=spoke, received=spoke + 0.03, detected=spoke + 0.2, at=spoke + 0.4)
    trace.lead = lead
    trace.played(Playout(spoke + 0.6, way, way + 0.08, by_device=True))
    stages = trace.stages()
    assert [stage.name for stage in stages] == [name for name in STAGES if name in trace.moments]
    assert all(stage.took >= 0 for stage in stages)
    assert sum(stage.took for stage in stages) == pytest.approx(trace.whole)
    assert stages[-1].at == trace.whole


def test_what_was_thought_ahead_costs_nothing() -> None:
    trace = TurnTrace()
    trace.mark("transcript", 10.3)
    trace.mark("token", 10.35)
    trace.committed(COMMIT, spoke=10.0, received=10.03, detected=10.2, at=10.5)
    took = {stage.name: round(stage.took, 3) for stage in trace.stages()}
    assert took == {"received": 0.03, "detected": 0.17, "committed": 0.3, "transcript": 0.0, "token": 0.0}


def test_the_first_mark_of_a_name_counts_and_there_are_not_too_many() -> None:
    trace = TurnTrace()
    trace.mark("token", 1.0)
    trace.mark("token", 2.0)
    assert trace.moments == {"token": 1.0}
    with pytest.raises(ValueError, match="1 to 32 characters"):
        trace.mark("x" * 33, 1.0)
    for number in range(31):
        trace.mark(f"mark {number}", 1.0)
    with pytest.raises(ValueError, match="32 marks at most"):
        trace.mark("another", 1.0)


@given(ahead=st.floats(-1e5, 1e5), ways=st.lists(st.tuples(st.floats(0, 0.2), st.floats(0, 0.2)), min_size=1))
def test_clocks_are_related_to_half_the_best_round_trip(ahead: float, ways: list[tuple[float, float]]) -> None:
    clocks = Clocks()
    for number, (there, back) in enumerate(ways):
        sent = 100.0 + number
        clocks.answered(sent, sent + there + ahead, sent + there + back)
    assert abs(clocks.here(50.0 + ahead) - 50.0) <= min(sum(way) for way in ways) / 2 + 50e-6 * len(ways) + 1e-9


def traces(call: SimulatedCall) -> list[Any]:
    return call.event("turnTrace")


def took(trace: Any) -> dict[str, float]:
    return {stage["stage"]: stage["tookMs"] for stage in trace["stages"]}


def test_an_answered_turn_is_traced_to_the_callers_ear(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        @session.on_turn
        async def reply(turn: Turn) -> None:
            turn.mark("transcript")
            turn.mark("token")
            turn.mark("mine")
            await session.say(tone(1.0, 16_000), rate=16_000)

    call = agent_call(agent)
    call.says("what time is it")
    spoke = call.time
    call.hears()
    (trace,) = traces(call)
    assert (trace["turn"], trace["outcome"], trace["playedBy"]) == (1, "answered", "estimate")
    assert [stage["stage"] for stage in trace["stages"]] == list(STAGES)
    started = call.said[0].started_at
    assert started is not None
    assert trace["responseMs"] == pytest.approx((started + 0.04 - spoke) * 1000, abs=45), "within frames and windows"
    assert sum(took(trace).values()) == pytest.approx(trace["responseMs"], abs=0.6)
    assert (took(trace)["arrived"], took(trace)["played"], took(trace)["sounded"]) == (20.0, 20.0, 0.0)
    assert list(trace["marks"]) == ["mine"]


def test_silence_at_the_head_of_an_answer_is_a_stage(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        @session.on_turn
        async def reply(_turn: Turn) -> None:
            await session.say([tone(0.2, 16_000) * 0, tone(1.0, 16_000)], rate=16_000)

    call = agent_call(agent)
    call.says("hello")
    call.hears()
    assert took(traces(call)[0])["sounded"] == pytest.approx(200, abs=20)


def test_a_turn_without_an_answer_says_so(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        @session.on_turn
        async def reply(_turn: Turn) -> None:
            return

    call = agent_call(agent)
    call.says("hello")
    call.waits(2.0)
    (trace,) = traces(call)
    assert (trace["outcome"], trace["responseMs"]) == ("silent", None)
    assert list(took(trace)) == ["received", "detected", "committed"]


def test_a_turn_that_went_on_is_withdrawn_and_the_whole_is_traced_once(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        @session.on_turn(speculative=True)
        async def reply(_turn: Turn) -> None:
            await session.say(tone(0.5, 16_000), rate=16_000)

    call = agent_call(agent)
    call.says("well what I")
    call.waits(0.5)
    call.says("wanted to ask")
    call.hears()
    assert [trace["outcome"] for trace in traces(call)].count("answered") == 1


@pytest.mark.parametrize("silence_s", [0.02, 0.1, 0.2])
def test_the_last_sound_is_found_in_the_audio(silence_s: float) -> None:
    encoder = Encoder(16_000)
    pcm = np.concatenate([tone(1.0, 16_000), np.zeros(16_000, np.int16)])
    blocks = enumerate(pcm.reshape(-1, 320))
    frames = [Frame(index, index * 960, 0, 960, 0, 0, encoder.encode(block)) for index, block in blocks]
    found = last_sound(frames, round((1.0 + silence_s) * 48_000)) / 48_000
    assert found == pytest.approx(1.0, abs=0.02)
    assert last_sound([], 4800) == 4800


def test_packets_that_are_no_opus_have_no_sound() -> None:
    broken = [Frame(index, index * 960, 0, 960, 0, 0, b"\xff" * 7) for index in range(20)]
    assert last_sound(broken, 9600) == 9600


async def test_stages_that_antiphon_tells_are_not_the_agents_to_mark() -> None:
    turn = Turn(1, (), 0.0, 1.0)
    turn.mark("token")
    with pytest.raises(ValueError, match="choose another name"):
        turn.mark("frame")
    assert list(turn.trace.moments) == ["token"]
