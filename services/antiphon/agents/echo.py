"""Sends each frame back at once, undecoded."""

from antiphon.worker import Session, Worker

worker = Worker()


@worker.agent("echo")
async def echo(session: Session) -> None:
    async for frame in session.frames():
        if not frame.repaired:  # it lies behind frames that were played already
            session.forward(frame)
