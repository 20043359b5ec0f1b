"""An assistant that thinks by itself: any class with `reply` is a language model. It needs `antiphon[assistant]`."""

from collections.abc import AsyncIterator, Sequence

from antiphon.assistant import Assistant, Message, Moonshine, ToolCall, ToolSchema, VoiceProcess
from antiphon.worker import Session, Worker

worker = Worker()


class Backwards:
    async def reply(self, messages: Sequence[Message], _tools: Sequence[ToolSchema]) -> AsyncIterator[str | ToolCall]:
        for word in reversed(messages[-1].text.rstrip(".?!").split()):
            yield word + " "


assistant = Assistant(recognizer=Moonshine(), model=Backwards(), voice=VoiceProcess("espeak"), greeting="Say something")


@worker.agent("backwards")
async def backwards(session: Session) -> None:
    await assistant.run(session)
