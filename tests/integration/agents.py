"""Agents that integration tests call, besides the built-in ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from antiphon.worker import Worker

if TYPE_CHECKING:
    from antiphon.worker import Session

worker = Worker()


@worker.agent("faulty")
async def faulty(session: Session) -> None:
    """Fails as soon as it is told anything."""

    @session.on_message
    def fail(_data: Any) -> None:
        msg = "the agent's own mistake"
        raise RuntimeError(msg)


@worker.agent("mirror")
async def mirror(session: Session) -> None:
    """Sends back what it is sent, and its metadata when asked for it."""

    @session.on_message
    def answer(data: Any) -> None:
        session.send(dict(session.metadata) if data == "metadata" else data)


@worker.agent("curt")
async def curt(session: Session) -> None:
    """Hangs up when told anything."""

    @session.on_message
    def leave(_data: Any) -> None:
        session.hang_up("enough")
