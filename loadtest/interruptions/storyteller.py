"""An agent that talks without a pause until it is interrupted, and again when the caller is done."""

import asyncio
import json
import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.support.speech import say

from antiphon.assistant import Moonshine
from antiphon.client.audio import FRAME, RATE
from antiphon.opus import Pcm
from antiphon.worker import Session, Turn, Worker

LOG = "ANTIPHON_STORYTELLER_LOG"
"""The environment names a file by it, to which it is written when utterances are over."""
worker = Worker()
_STORY = (
    "Once upon a time there was a weaver who lived by the river and had never in all her life been further from home "
    "than the mill beyond the second bridge where every Thursday she sold her cloth and listened to what the boatmen "
    "told of the towns along the coast and of the ships with red sails that came from nobody knew where"
)
_QUIET = 300
_TIMES = 3
_PATIENCE_S = 5.0
_recognizer = Moonshine()


def story() -> Pcm:
    """A minute of speech, its pauses taken out: whatever silence a caller hears, the agent was silenced."""
    speech = np.tile(say(_STORY, RATE), _TIMES)
    frames = speech[: len(speech) // FRAME * FRAME].reshape(-1, FRAME)
    loud: Pcm = frames[np.abs(frames.astype(np.int32)).max(axis=1) > _QUIET].ravel()
    return loud


def note(session: str, cut: str | None) -> None:
    """Writes down that an utterance is over, for who measures."""
    if path := os.environ.get(LOG):
        line = {"session": session, "at": time.monotonic(), "cut": cut}
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


async def tell(session: Session) -> None:
    free = asyncio.Event()

    @session.on_turn
    async def told(turn: Turn) -> None:
        del turn
        free.set()

    while True:
        free.clear()
        said = await session.say(story(), rate=RATE)
        note(session.id, said.cut)
        if said.cut is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await free.wait()


@worker.agent("storyteller")
async def storyteller(session: Session) -> None:
    await tell(session)


@worker.agent("listening-storyteller")
async def listening(session: Session) -> None:
    """With a recogniser, and interrupted by words alone."""
    session.turns.recognizer = _recognizer
    session.turns.policy = replace(session.turns.policy, interruptions="words")
    await tell(session)
