"""An assistant's conversation in virtual time: what it says, remembers, and forgets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pytest

from antiphon.assistant import Assistant, Message, PartError, ScriptedModel, SpeechAssistant, ToolCall, ToolSchema
from antiphon.testing import SimulatedCall
from antiphon.worker import Said, Session, Speech

AgentCall = Callable[..., SimulatedCall]
RATE = 16_000
SECONDS_A_WORD = 0.3


class Beeps:
    """A voice that beeps each word."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        self.texts.append(text)
        count = len(text.split())
        pcm = 8000 * np.sin(np.arange(round(count * SECONDS_A_WORD * RATE)) * 0.1)
        ends = tuple(SECONDS_A_WORD * (index + 1) for index in range(count))
        yield Speech(pcm.astype(np.int16), RATE, text, ends)


class Unused:
    async def recognize(self, pcm: np.ndarray) -> str:
        raise AssertionError("the simulated caller brings its words")


class Recorded(ScriptedModel):
    """The scripted model; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[Message]] = []

    async def reply(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> AsyncIterator[str | ToolCall]:
        self.asked.append(list(messages))
        async for piece in super().reply(messages, tools):
            yield piece


class Broken:
    async def reply(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> AsyncIterator[str | ToolCall]:
        raise PartError("no model today")
        yield ""  # pragma: no cover


def weather(city: str, days: int = 1) -> str:
    """Tells the weather."""
    return f"It rains in {city} for {days} days."


class Weatherman:
    async def reply(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> AsyncIterator[str | ToolCall]:
        if messages[-1].role == "tool":
            yield messages[-1].text
        else:
            yield "Let me see. "
            yield ToolCall("1", "weather", '{"city": "Bergen", "days": 3}')


def make(**parts: object) -> tuple[Assistant, Beeps]:
    voice = Beeps()
    assistant = Assistant(**{"recognizer": Unused(), "model": ScriptedModel(), "voice": voice, **parts})  # type: ignore[arg-type]
    return assistant, voice


def test_it_greets_and_answers(agent_call: AgentCall) -> None:
    assistant, voice = make(greeting="Welcome!")
    call = agent_call(assistant.run)
    assert call.hears().complete
    call.says("my name is anna")
    assert call.hears().complete
    assert voice.texts == ["Welcome!", "Nice to meet you, Anna.", "What can I do for you?"]
    call.waits(0.1)
    assert {"caller": "my name is anna"} in call.messages


def test_the_first_sentence_is_spoken_while_the_model_still_thinks(agent_call: AgentCall) -> None:
    class Slow:
        async def reply(
            self, messages: Sequence[Message], tools: Sequence[ToolSchema]
        ) -> AsyncIterator[str | ToolCall]:
            yield "This is the first sentence. "
            await asyncio.sleep(1.0)
            yield "This is the second."

    assistant, _ = make(model=Slow())
    call = agent_call(assistant.run)
    call.says("hello")
    stopped = call.time
    heard = call.hears()
    assert (heard.started_at or 9) - stopped < 0.9
    assert heard.length == pytest.approx(9 * SECONDS_A_WORD, abs=0.1)


def test_an_interrupted_reply_is_remembered_to_the_word_that_was_heard(agent_call: AgentCall) -> None:
    model = Recorded()
    assistant, _ = make(model=model, instructions="Be brief.")
    call = agent_call(assistant.run)
    call.says("tell me a story")
    call.until(lambda: call.agent_speaking)
    call.waits(2.0)
    call.says("please stop that now")
    call.until(lambda: len(model.asked) >= 2)
    call.hears()
    roles = [message.role for message in model.asked[-1]]
    assert roles == ["system", "user", "assistant", "user"]
    heard = model.asked[-1][2].text
    assert heard.endswith(" —")
    assert "Here is a story. On a rock in the sea there stood a lighthouse".startswith(heard.removesuffix(" —"))
    assert 4 <= len(heard.split()) <= 10


def test_a_turn_that_goes_on_is_answered_once_and_remembered_once(agent_call: AgentCall) -> None:
    model = Recorded()
    assistant, voice = make(model=model)
    call = agent_call(assistant.run)
    call.says("my name is", seconds=1.0)
    call.waits(0.35)
    call.says("my name is anna", seconds=1.0)
    call.hears()
    call.says("count to two")
    call.hears()
    users = [message.text for message in model.asked[-1] if message.role == "user"]
    assert users[-1] == "count to two"
    assert len(users) == 2
    assert voice.texts[-1] == "1, 2."


def test_a_tool_is_called_and_its_result_spoken(agent_call: AgentCall) -> None:
    assistant, voice = make(model=Weatherman(), tools=[weather])
    call = agent_call(assistant.run)
    call.says("how is the weather")
    call.hears()
    call.hears()
    assert voice.texts == ["Let me see.", "It rains in Bergen for 3 days."]


def test_a_failing_model_is_apologised_for(agent_call: AgentCall) -> None:
    assistant, voice = make(model=Broken())
    call = agent_call(assistant.run)
    call.says("hello")
    assert call.hears().complete
    assert voice.texts == ["Sorry, something went wrong on my side.", "Could you say that again?"] or voice.texts == [
        "Sorry, something went wrong on my side. Could you say that again?"
    ]


def test_goodbye_hangs_up_once_it_was_said(agent_call: AgentCall) -> None:
    assistant, voice = make()

    @assistant.tool
    async def hang_up(session: Session) -> str:
        await session.say("Goodbye!")
        session.hang_up()
        return ""

    call = agent_call(assistant.run)
    call.says("bye")
    call.until(lambda: call.ended is not None, within=10)
    assert voice.texts == ["Goodbye!"]


class Slow:
    """A model that takes its time."""

    async def reply(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> AsyncIterator[str | ToolCall]:
        await asyncio.sleep(4)
        yield "Here it is."


def test_a_late_reply_is_filled_and_comes_all_the_same(agent_call: AgentCall) -> None:
    assistant, voice = make(model=Slow(), filler="One moment, please.", filler_after_s=1.0)
    call = agent_call(assistant.run)
    call.says("what is the answer")
    assert call.hears().complete
    assert voice.texts == ["One moment, please."]
    assert call.hears().complete
    assert voice.texts == ["One moment, please.", "Here it is."]
    call.waits(0.1)
    assert [one["assistant"] for one in call.messages if "assistant" in one] == ["Here it is."]


class Mimic:
    """Answers each turn with a beep as long, and remembers how the last one went."""

    def __init__(self) -> None:
        self.before: list[str | None] = []

    async def respond(self, pcm: np.ndarray, before: Said | None) -> AsyncIterator[Speech]:
        self.before.append(None if before is None else before.text)
        yield Speech((8000 * np.sin(np.arange(len(pcm)) * 0.1)).astype(np.int16), RATE, "beep")


def test_a_model_that_hears_and_speaks_needs_no_text(agent_call: AgentCall) -> None:
    mimic = Mimic()
    call = agent_call(SpeechAssistant(lambda: mimic).run)
    for _ in range(2):
        call.says("whatever")
        assert call.hears().complete
    assert mimic.before == [None, "beep"]
