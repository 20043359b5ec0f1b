"""Repeats what the caller said, once they stopped; falls silent when they speak over it."""

from antiphon.worker import Session, Turn, Worker

worker = Worker()


@worker.agent("parrot")
async def parrot(session: Session) -> None:
    @session.on_turn
    async def reply(turn: Turn) -> None:
        said = await session.say(turn.audio)
        session.log.info("said", heard=said.heard, length=said.length, cut=said.cut)
