"""One caller's conversation with an assistant: each turn answered, and remembered as it was heard.

A reply begins when the turn seems to be over. What a withdrawn turn led to is forgotten; the next turn has its audio.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from antiphon.assistant import metrics
from antiphon.assistant.parts import Message, PartError, ToolCall
from antiphon.assistant.sentences import Sentences

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from antiphon.assistant.assistant import Assistant
    from antiphon.worker import Said, Session, Speech, Turn

_MOST_ROUNDS = 5
"""Times that a model may call tools before it answers."""
_MOST_MESSAGES = 100
_SORRY = "Sorry, something went wrong on my side. Could you say that again?"
_CUT_OFF = " —"
"""Behind the words that were heard of a reply that the caller cut."""


class Dialogue:
    def __init__(self, assistant: Assistant, session: Session) -> None:
        self._assistant = assistant
        self._session = session
        self._filled = False
        self.history: list[Message] = []
        """What was said and heard, without the instructions; the oldest turns are forgotten."""

    async def greet(self) -> None:
        if self._assistant.greeting:
            self._remember(*heard_of(await self._session.say(self._assistant.greeting)))

    async def fill(self) -> None:
        """The reply is late: once for each turn. What is said meanwhile is no part of the conversation."""
        if not self._filled:
            self._filled = True
            await self._session.say(self._assistant.filler)

    async def answer(self, turn: Turn) -> None:
        """Answers a turn, which may still be tentative."""
        self._filled = False
        try:
            text = await self._recognize(turn)
        except PartError as error:
            await self._apologise("recognizer", error)
            return
        if not text:
            return
        turn.mark("transcript")
        thread = [Message("user", text)]
        try:
            for _ in range(_MOST_ROUNDS):
                calls = await self._say_reply(turn, thread)
                if not calls:
                    break
                await turn.confirmed()  # a tool may change the world
                thread += [await self._call(call) for call in calls]
        except PartError as error:
            await self._apologise("model", error)
        finally:
            if not turn.tentative and (len(thread) > 1 or not self._withdrawn()):
                self._remember(*thread)

    def _withdrawn(self) -> bool:
        """Whether the reply ends because its turn was withdrawn, so that its words come again."""
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    async def _recognize(self, turn: Turn) -> str:
        words = await turn.words()
        if words is not None:
            return words
        pcm = await asyncio.to_thread(turn.pcm)
        return (await self._assistant.recognizer.recognize(pcm)).strip()

    async def _say_reply(self, turn: Turn, thread: list[Message]) -> tuple[ToolCall, ...]:
        """Says what the model answers, adds it to the thread as far as it was heard; returns what it calls."""
        calls: list[ToolCall] = []
        async with aclosing(self._speech(turn, thread, calls)) as speech:
            said = await self._session.say(speech)
        if len(thread) == 1:
            await turn.confirmed()
            self._session.send({"caller": thread[0].text})
        heard = heard_of(said)
        if calls and said.cut is None:
            thread.append(Message("assistant", heard[0].text if heard else "", tuple(calls)))
            return tuple(calls)
        thread += heard
        if heard:
            self._session.send({"assistant": heard[0].text, "cut": said.cut, "exact": said.text_exact})
        return ()

    async def _speech(self, turn: Turn, thread: list[Message], calls: list[ToolCall]) -> AsyncGenerator[Speech, None]:
        async with aclosing(self._pieces(turn, thread, calls)) as pieces:
            async for piece in pieces:
                began: float | None = time.monotonic()
                async for speech in self._assistant.voice.speak(piece):
                    if began is not None:
                        metrics.FIRST_SOUND.observe(time.monotonic() - began)
                        began = None
                    yield speech

    async def _pieces(self, turn: Turn, thread: list[Message], calls: list[ToolCall]) -> AsyncGenerator[str, None]:
        instructions = self._assistant.instructions
        messages = [Message("system", instructions)] if instructions else []
        messages += [*self.history, *thread]
        schemas = [tool.schema for tool in self._assistant.tools.values()]
        sentences, began = Sentences(), time.monotonic()
        answer: AsyncIterator[str | ToolCall] = self._assistant.model.reply(messages, schemas)
        waiting = True
        async for piece in answer:
            if waiting:
                metrics.FIRST_TOKEN.observe(time.monotonic() - began)
                turn.mark("token")
                waiting = False
            if isinstance(piece, ToolCall):
                calls.append(piece)
            else:
                for sentence in sentences.push(piece):
                    yield sentence
        for sentence in sentences.finish():
            yield sentence

    async def _call(self, call: ToolCall) -> Message:
        tool = self._assistant.tools.get(call.name)
        if tool is None:
            metrics.TOOLS.labels("unknown").inc()
            return Message("tool", f"error: there is no tool {call.name!r}", call=call.id)
        return Message("tool", await tool.call(call, self._session), call=call.id)

    async def _apologise(self, part: str, error: PartError) -> None:
        metrics.FAILED.labels(part).inc()
        self._session.log.warning("the assistant could not answer", part=part, error=str(error))
        await self._session.say(_SORRY)

    def _remember(self, *messages: Message) -> None:
        self.history += messages
        while len(self.history) > _MOST_MESSAGES or (self.history and self.history[0].role == "tool"):
            del self.history[0]


def heard_of(said: Said) -> tuple[Message, ...]:
    """What an utterance adds to the conversation: the words that the caller heard; nothing where there are none."""
    if not said.text:
        return ()
    return (Message("assistant", said.text + (_CUT_OFF if said.cut else "")),)
