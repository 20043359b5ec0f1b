"""A caller at a loudspeaker without echo cancellation: what is heard comes back by the microphone, later and softer."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from antiphon.client import CallEndedError
from antiphon.client.audio import RATE
from antiphon.opus import Decoder

if TYPE_CHECKING:
    import asyncio

    from antiphon.client import Caller
    from antiphon.opus import Pcm

_PATH_S = 0.06


def at_a_loudspeaker(caller: Caller, loss_db: float, group: asyncio.TaskGroup) -> None:
    """From now on all that `caller` hears is said again, `loss_db` softer, as soon as its microphone can.

    What is to be said besides has to be mixed: a microphone plays one thing after the other.
    """
    decoder = Decoder(RATE)
    factor = 10 ** (-loss_db / 20)
    heard = caller.hearing.packet
    first = True

    def packet(ssrc: int, timestamp: int, payload: bytes) -> int:
        nonlocal first
        count = heard(ssrc, timestamp, payload)
        if count:
            pcm = (decoder.decode(payload) * factor).astype(np.int16)
            if first:
                pcm = np.concatenate([np.zeros(round(_PATH_S * RATE), np.int16), pcm])
                first = False
            group.create_task(_say(caller, pcm))
        return count

    caller.hearing.packet = packet  # type: ignore[method-assign]


async def _say(caller: Caller, pcm: Pcm) -> None:
    with suppress(CallEndedError):
        await caller.play(pcm, RATE)
