from antiphon.worker import Session, Turn, Worker

worker = Worker()


@worker.agent("my-agent")
async def my_agent(session: Session) -> None:
    @session.on_turn  # the caller has finished a turn
    async def reply(turn: Turn) -> None:
        said = await session.say(turn.audio)  # returns when played: all of it, or where it was cut
        session.send({"seconds": turn.seconds, "heard": said.heard})
