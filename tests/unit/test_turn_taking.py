"""Turn-taking as an agent's author meets it: speculation, manual turns, time to think, silence, recorded traces."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY

from antiphon.testing import AgentFailedError, SimulatedCall
from antiphon.turns import TurnPolicy, with_eagerness, with_wishes
from antiphon.turns.replay import BadTraceError, line_of, read_line, replay
from antiphon.worker import Session, Turn

AgentCall = Callable[..., SimulatedCall]


def tone(seconds: float) -> np.ndarray:
    return np.asarray(8000 * np.sin(np.arange(round(seconds * 16000)) * (2 * np.pi * 300 / 16000)), np.int16)


def test_a_speculative_reply_thinks_before_the_commit_and_speaks_at_once_after_it(agent_call: AgentCall) -> None:
    began: list[tuple[float, bool]] = []

    async def agent(session: Session) -> None:
        @session.on_turn(speculative=True)
        async def reply(turn: Turn) -> None:
            began.append((asyncio.get_running_loop().time(), turn.tentative))
            await asyncio.sleep(0.15)
            await session.say(tone(0.5), rate=16000)

    call = agent_call(agent)
    call.says("what time is it", seconds=1.0)
    stopped = call.time
    heard = call.hears()
    ((at, tentative),) = began
    assert tentative
    assert at - stopped == pytest.approx(0.4, abs=0.06)
    assert heard.complete
    assert (heard.started_at or 0) - stopped == pytest.approx(0.6, abs=0.06)  # the commit, and nothing after it


def test_nothing_of_a_withdrawn_speculative_reply_is_heard(agent_call: AgentCall) -> None:
    began: list[str | None] = []
    cancelled: list[str | None] = []
    confirmed: list[str | None] = []

    async def agent(session: Session) -> None:
        @session.on_turn(speculative=True)
        async def reply(turn: Turn) -> None:
            began.append(turn.text)
            try:
                await session.say(tone(0.5), rate=16000)
            except asyncio.CancelledError:
                cancelled.append(turn.text)
                raise
            await turn.confirmed()
            confirmed.append(turn.text)

    call = agent_call(agent)
    call.says("I would like", seconds=1.0)
    call.waits(0.5)
    call.says("a cup of tea", seconds=1.0)
    heard = call.hears()
    call.waits(0.2)
    assert heard.complete
    assert len(call.said) == 1
    assert began == ["I would like", "I would like a cup of tea"]
    assert cancelled == ["I would like"]
    assert confirmed == ["I would like a cup of tea"]
    assert [turn["state"] for turn in call.event("callerTurn")] == ["started", "ended"]


def test_a_speculative_reply_that_says_nothing_owes_nothing(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        session.turns.policy = replace(session.turns.policy, late_s=0.5)

        @session.on_turn(speculative=True)
        async def reply(turn: Turn) -> None: ...

        @session.on_late
        def late() -> None:
            session.send("late")

    call = agent_call(agent)
    call.says("never mind", seconds=1.0)
    call.waits(5.0)
    assert call.messages == []


def test_eagerness_changes_in_mid_call(agent_call: AgentCall) -> None:
    turns: list[float] = []

    async def agent(session: Session) -> None:
        @session.on_turn
        async def note(_: Turn) -> None:
            turns.append(asyncio.get_running_loop().time())
            session.turns.eagerness = "high"

    call = agent_call(agent)
    delays = []
    for _ in range(2):
        call.says("hello there", seconds=1.0)
        stopped = call.time
        call.waits(2.0)
        delays.append(turns[-1] - stopped)
    assert delays == pytest.approx([0.6, 0.4], abs=0.05)


def test_manual_turns_end_when_the_agent_says_so(agent_call: AgentCall) -> None:
    turns: list[str | None] = []

    async def agent(session: Session) -> None:
        session.turns.mode = "manual"

        @session.on_turn
        async def note(turn: Turn) -> None:
            turns.append(turn.text)

        @session.on_message
        def command(name: str) -> None:
            session.turns.commit() if name == "commit" else session.turns.clear()

    call = agent_call(agent)
    call.says("first half", seconds=1.0)
    call.waits(3.0)
    call.says("second half", seconds=1.0)
    assert turns == []
    call.sends("commit")
    call.waits(0.3)
    assert turns == ["first half second half"]
    call.says("forget this", seconds=1.0)
    call.sends("clear")
    call.waits(1.0)
    assert len(turns) == 1


def test_a_caller_who_was_given_time_is_not_answered_before(agent_call: AgentCall) -> None:
    turns: list[float] = []

    async def agent(session: Session) -> None:
        @session.on_turn
        async def note(_: Turn) -> None:
            turns.append(asyncio.get_running_loop().time())

        @session.on_message
        def think(seconds: float) -> None:
            session.turns.hold_floor(seconds)

    call = agent_call(agent)
    call.says("well", seconds=1.0)
    call.sends(4.0)
    asked = call.time
    call.waits(6.0)
    assert turns[0] - asked == pytest.approx(4.0, abs=0.2)


def test_silence_is_told_and_a_late_reply_too(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        session.turns.policy = replace(session.turns.policy, idle_s=3.0, late_s=1.0)

        @session.on_turn
        async def reply(_: Turn) -> None:
            await asyncio.sleep(2.0)
            await session.say(tone(0.3), rate=16000)

        @session.on_idle
        async def prompt(count: int) -> None:
            session.send({"idle": count})

        @session.on_late
        async def filler() -> None:
            session.send("late")
            await session.say(tone(0.2), rate=16000)

    call = agent_call(agent)
    call.waits(9.5)
    assert call.messages == [{"idle": 1}, {"idle": 2}]
    call.says("are you there", seconds=1.0)
    first, second = call.hears(), call.hears()
    assert (first.length, second.length) == pytest.approx((0.2, 0.3), abs=0.03)
    assert call.messages[2:] == ["late"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("session.interruptions = 'sometimes'", "never, speech or words"),
        ("session.turns.eagerness = 'frantic'", "low, medium, high, auto"),
        ("session.turns.mode = 'mine'", "automatic or manual"),
        ("session.turns.hold_floor(-1)", "0 or more"),
    ],
)
def test_what_cannot_be_set_is_refused_in_words(agent_call: AgentCall, change: str, expected: str) -> None:
    async def agent(session: Session) -> None:
        exec(change, {"session": session})

    with pytest.raises(AgentFailedError, match=expected):
        agent_call(agent).waits(0.1)


def test_a_recorded_trace_replays_to_the_same_decisions(agent_call: AgentCall, tmp_path: Path) -> None:
    path = tmp_path / "turns.jsonl"

    async def agent(session: Session) -> None:
        session.turns.record(path)

        @session.on_turn
        async def reply(_: Turn) -> None:
            session.turns.eagerness = "low"
            await session.say(tone(2.0), rate=16000)

    call = agent_call(agent)
    call.says("tell me a story", seconds=1.0)
    call.waits(1.5)
    call.says("no, another one", seconds=1.0)
    call.hears()
    call.hears()
    call.hangs_up()
    call.waits(0.1)
    lines = [read_line(line) for line in path.read_text().splitlines()]
    decisions = list(replay(lines))
    assert all(now == then for _, now, then in decisions)
    made = [type(action).__name__ for _, now, _ in decisions for action in now]
    assert made.count("Committed") == 2
    assert "Flush" in made
    assert [line_of(one) for one in lines] == path.read_text().splitlines()


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"Window":{}}', '{"os":{}}', '{"Clock":3}', "{" * 9999])
def test_a_line_that_is_no_trace_is_refused(line: str) -> None:
    with pytest.raises(BadTraceError, match="no line of a trace"):
        read_line(line)


def test_the_callers_page_has_a_talk_button(agent_call: AgentCall) -> None:
    turns: list[Turn] = []

    async def agent(session: Session) -> None:
        @session.on_turn
        async def reply(turn: Turn) -> None:
            turns.append(turn)

    call = agent_call(agent)
    call.turn("manual")
    call.says("hello there")
    call.waits(5.0)
    assert not turns, "silence ends nothing"
    call.turn("commit")
    call.waits(0.5)
    assert len(turns) == 1
    call.turn("press")
    call.says("and again")
    call.waits(5.0)
    call.turn("release")
    call.waits(1.0)
    assert len(turns) == 2
    call.turn("automatic")
    call.says("as before")
    call.waits(3.0)
    assert len(turns) == 3


def test_an_unknown_command_is_dropped_and_counted(agent_call: AgentCall) -> None:
    async def agent(session: Session) -> None:
        @session.on_turn
        async def reply(_turn: Turn) -> None: ...

    def malformed() -> float:
        return (
            REGISTRY.get_sample_value("antiphon_worker_dropped_total", {"what": "message", "reason": "malformed"})
            or 0.0
        )

    call = agent_call(agent)
    before = malformed()
    call.turn("shout")
    assert malformed() == before + 1


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({"eagerness": "low", "mode": "manual"}, ("low", "manual", "speech")),
        ({"interruptions": "words"}, ("medium", "automatic", "words")),
        ({"eagerness": "wild", "mode": 3, "volume": 11}, ("medium", "automatic", "speech")),
        ({}, ("medium", "automatic", "speech")),
    ],
)
def test_a_session_takes_turns_as_it_was_asked_to(wishes: dict[str, object], expected: tuple[str, str, str]) -> None:
    policy = with_wishes(TurnPolicy(), wishes)
    eagerness, mode, interruptions = expected
    assert policy == replace(with_eagerness(TurnPolicy(), eagerness), mode=mode, interruptions=interruptions)  # type: ignore[arg-type]
