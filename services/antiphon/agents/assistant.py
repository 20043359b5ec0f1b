"""Listens, thinks and talks, offline by default: served where the extra `antiphon[assistant]` is installed."""

from antiphon.assistant import built_in, installed
from antiphon.worker import Session, Worker

worker = Worker()


async def assistant(session: Session) -> None:
    await built_in().run(session)


if installed():
    worker.agent("assistant")(assistant)
