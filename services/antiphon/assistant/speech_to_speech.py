"""An agent of one part: a model that hears and speaks by itself, without text between."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from antiphon.assistant import metrics
from antiphon.assistant.parts import PartError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from antiphon.opus import Pcm
    from antiphon.worker import Said, Session, Speech, Turn


class SpeechToSpeech(Protocol):
    """One caller's conversation with such a model."""

    def respond(self, pcm: Pcm, before: Said | None, /) -> AsyncIterator[Speech]:
        """Answers a turn: mono int16 at 16 kHz in, pieces of speech out as they are made. Raises PartError.

        `before` is what became of its last answer: what was heard of it, and whether the caller cut it. Closing the
        iterator cancels the answer.
        """
        ...


class SpeechAssistant:
    """`await SpeechAssistant(MyModel).run(session)` in an agent; `make` is called once for each caller."""

    def __init__(self, make: Callable[[], SpeechToSpeech]) -> None:
        self._make = make

    async def run(self, session: Session) -> None:
        """Answers each turn. Returns at once; the answers go on."""
        model = self._make()
        before: Said | None = None

        @session.on_turn
        async def answer(turn: Turn) -> None:
            nonlocal before
            pcm = await asyncio.to_thread(turn.pcm)
            try:
                async with aclosing(_marked(turn, model.respond(pcm, before))) as speech:
                    before = await session.say(speech)
            except PartError as error:
                metrics.FAILED.labels("speech_to_speech").inc()
                session.log.warning("the assistant could not answer", part="speech_to_speech", error=str(error))


async def _marked(turn: Turn, pieces: AsyncIterator[Speech]) -> AsyncGenerator[Speech, None]:
    """Tells the turn's latency trace of the first piece."""
    async for piece in pieces:
        turn.mark("token")
        yield piece
