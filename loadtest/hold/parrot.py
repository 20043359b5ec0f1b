"""The parrot spoken over, on a whole cluster: from the caller's onset to the last audible frame of the agent.

The caller is aiortc, which hands a frame over when its first sample is due; a microphone takes the frame's 20 ms first,
so they are added. What the caller gets over loopback is taken for what leaves the edge.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from tests.support.speech import say

from antiphon.client import RATE, Caller
from loadtest.kinds.voices import trimmed
from loadtest.measuring.tools import say as progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TARGET_MS = 100.0
CAPTURE_MS = 20.0
_STORY = "Once upon a time there was a parrot who would not stop talking, whatever anybody said or did, all day long."
_WORDS = ("Stop, please.", "No, wait.", "Hello?", "That is enough.", "Excuse me, one question.", "But I said no.")
_VOICES = ("en-us", "de", "fr")
_SETTLE_S = 1.0


@dataclass
class Interruptions:
    delays_ms: list[float] = field(default_factory=list)
    edge: dict[str, float] = field(default_factory=dict)
    """The edge's counters of holds, summed over calls."""

    def quantile(self, percent: float) -> float:
        return float(np.percentile(self.delays_ms, percent, method="higher"))


async def measure(url: str, wanted: int) -> Interruptions:
    """Speaks over the parrot so many times, once in each of its utterances."""
    found = Interruptions()
    words = _spoken_over()
    while len(found.delays_ms) < wanted:
        async with Caller(url, agent="parrot") as call:
            await call.play(np.zeros(2 * RATE, np.int16))
            for _ in range(min(6, wanted - len(found.delays_ms))):
                found.delays_ms.append(await _interrupt(call, next(words)))
                progress(f"interruption {len(found.delays_ms)}: {found.delays_ms[-1]:.0f} ms")
            quality = (await call.info())["quality"]
            for name, value in quality.items():
                if name.startswith(("edge_h", "voice_")):
                    found.edge[name] = found.edge.get(name, 0.0) + value
    return found


async def _interrupt(call: Caller, words: NDArray[np.int16]) -> float:
    """Has the parrot tell a story, speaks over it, and returns when it was silent, in ms after the onset."""
    before = len(call.journal.utterances)
    await call.play(trimmed(say(_STORY, RATE)))
    await call.wait_for(lambda: len(call.journal.utterances) > before and call.journal.speaking(), within=30)
    await asyncio.sleep(_SETTLE_S)
    begin, _ = await call.play(words)
    last = call.hearing.last_audible_at or begin
    number = max(call.journal.utterances)
    await call.wait_for(lambda: call.journal.utterances[number].over, within=30)
    # The parrot now repeats the interruption: let it.
    await call.wait_for(lambda: len(call.journal.utterances) > number, within=30)
    await call.wait_for(lambda: not call.journal.speaking(), within=30)
    return (last - begin) * 1000 + CAPTURE_MS


def _spoken_over() -> Iterator[NDArray[np.int16]]:
    while True:
        for words in _WORDS:
            for voice in _VOICES:
                yield trimmed(say(words, RATE, voice))
