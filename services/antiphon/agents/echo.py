"""Sends each frame back at once, undecoded."""

from antiphon.worker import Session, Worker

worker = Worker()


@worker.agent("echo")
async def echo(session: Session) -> None:
    async for frame in session.frames():
        # What was repaired lies behind frames that were played already; what was kept, in a time that is over.
        if not (frame.repaired or frame.kept):
            session.forward(frame)
