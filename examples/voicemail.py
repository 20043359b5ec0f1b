"""A voice mailbox, with no model: it beeps and takes down what is said; * plays it back, # ends the call."""

import numpy as np

from antiphon.worker import Dtmf, Session, Turn, Worker

RATE = 16_000
worker = Worker()


def beep(seconds: float = 0.2) -> np.ndarray:
    return (8_000 * np.sin(2 * np.pi * 880 * np.arange(int(RATE * seconds)) / RATE)).astype(np.int16)


@worker.agent("voicemail")
async def voicemail(session: Session) -> None:
    taken: list[np.ndarray] = await restore(session)

    @session.on_turn
    async def take_down(turn: Turn) -> None:
        taken.append(turn.pcm(RATE))
        session.checkpoint({"turns": len(taken)})
        session.send({"turns": len(taken), "seconds": round(turn.seconds, 1)})

    @session.on_dtmf
    async def press(key: Dtmf) -> None:
        if key.digit == "*":
            said = await session.say(iter([beep(), *taken]), rate=RATE)
            session.send({"played": round(said.heard, 1), "cut": said.cut})
        if key.digit == "#":
            await session.say(beep(1.0), rate=RATE, protected=True)
            session.hang_up()

    @session.on_idle
    async def nudge(_count: int) -> None:
        await session.say(beep(), rate=RATE)

    await session.say(beep(), rate=RATE, protected=True)


async def restore(session: Session) -> list[np.ndarray]:
    """A worker before this one was lost, and what was said with it: the caller's page says so."""
    if before := await session.restored():
        session.send({"lost": before["turns"]})
    return []
