"""Agents that integration tests call, besides the built-in ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from antiphon.worker import Worker

if TYPE_CHECKING:
    from antiphon.worker import Session, Turn

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
    """Sends back what it is sent; when asked for them, its metadata, or how it takes turns."""

    @session.on_message
    def answer(data: Any) -> None:
        match data:
            case "metadata":
                session.send(dict(session.metadata))
            case "turns":
                session.send({"eagerness": session.turns.eagerness, "metadata": dict(session.metadata)})
            case _:
                session.send(data)


@worker.agent("curt")
async def curt(session: Session) -> None:
    """Hangs up when told anything."""

    @session.on_message
    def leave(_data: Any) -> None:
        session.hang_up("enough")


LOWEST, RISE = 400.0, 200.0
"""Of the orator's tone: Hz, Hz a second."""


@worker.agent("orator")
async def orator(session: Session) -> None:
    """Told a number, sings so many seconds and tells what of it was heard. Told anything else, stops.

    Its tone rises by RISE Hz in each second, so that a recording of any piece of it says which piece that is.
    """

    @session.on_message
    async def obey(data: Any) -> None:
        if not isinstance(data, int | float):
            session.stop()
            return
        times = np.arange(int(data * 48_000)) / 48_000
        tone = (8_000 * np.sin(2 * np.pi * (LOWEST * times + RISE / 2 * times**2))).astype(np.int16)
        said = await session.say(tone, rate=48_000)
        session.send({"heard": said.heard, "received": said.received, "by": said.heard_by, "cut": said.cut})


@worker.agent("beeper")
async def beeper(session: Session) -> None:
    """Answers each turn with a loud tone."""

    @session.on_turn
    async def reply(_turn: Turn) -> None:
        tone = 12_000 * np.sin(np.arange(24_000) * (2 * np.pi * 440 / 48_000))
        await session.say(tone.astype(np.int16), rate=48_000)


@worker.agent("raconteur")
async def raconteur(session: Session) -> None:
    """Sings for eight seconds as it is told a number, and is cut by the caller's voice. Tells what was heard of it."""

    @session.on_message
    async def sing(data: Any) -> None:
        times = np.arange(int(float(data) * 48_000)) / 48_000
        tone = (8_000 * np.sin(2 * np.pi * (LOWEST * times + RISE / 2 * times**2))).astype(np.int16)
        said = await session.say(tone, rate=48_000)
        session.send({"heard": said.heard, "cut": said.cut})

    @session.on_turn
    async def nothing(_turn: Turn) -> None:
        """Turns are taken, so that the caller's voice may cut what is sung."""
