"""Callers who make sounds over the storyteller, on a whole cluster, and what they hear of it.

The caller is aiortc, which hands a frame over when its first sample is due; a microphone takes the frame's 20 ms first,
so they are added. Loss is that of an impairer between the callers and the edge.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.support import impaired
from tests.support.detour import detour

from antiphon.client import CallEndedError, Caller
from loadtest.measuring import servers
from loadtest.measuring.tools import say as progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.impaired import Impairer

    from loadtest.interruptions.sounds import Sound

RATE = 16_000
CAPTURE_S = 0.02
_POLL_S = 0.005
_SILENCED_S = 0.1
"""The agent never pauses, so that this much silence is a hold."""
_AFTER_S = 1.5
_SETTLED_S = 1.0
_STORY_S = 30.0
"""A story lasts longer."""
_A_CALL = 12


@dataclass
class Event:
    """What came of one sound. Milliseconds after its onset; None: never."""

    kind: str
    voice: str
    text: str
    loss: float
    held_ms: float | None
    flushed_ms: float | None
    resumed_ms: float | None
    """When the same utterance was audible again, where it had been held."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Network:
    """One impairer, made for the edge that the first answer names."""

    def __init__(self, loss: float) -> None:
        self.loss = loss
        self._running = contextlib.ExitStack()
        self._impairer: Impairer | None = None

    def port(self, edge: str) -> int:
        """Where the impairer before an edge listens."""
        if self._impairer is None:
            network = impaired.udp(edge, up=f"loss={self.loss:.1%}", seed=5)
            self._impairer = self._running.enter_context(network)
        return self._impairer.port

    def close(self) -> None:
        self._running.close()


async def measure(url: str, agent: str, sounds: list[Sound], *, loss: float, callers: int) -> list[Event]:
    """Each sound over the agent's speech, by so many callers at a time."""
    network, waiting, events = Network(loss), iter(sounds), []

    async def call() -> None:
        while batch := [sound for _, sound in zip(range(_A_CALL), waiting, strict=False)]:
            async for event in _one_call(url, agent, batch, network):
                events.append(event)
                if len(events) % 20 == 0:
                    progress(f"{agent}, {loss:.0%} loss: {len(events)} of {len(sounds)} sounds")

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(call())
    finally:
        network.close()
    return events


async def _one_call(url: str, agent: str, batch: list[Sound], network: Network) -> Any:  # noqa: ANN401 - a generator
    caller = Caller(url, agent=agent, region=servers.REGION)
    if network.loss:
        detour(caller, network.port)
    async with caller as call:
        for sound in batch:
            async with asyncio.timeout(60):
                while not _in_the_midst(call):  # noqa: ASYNC110 - what is heard tells nobody
                    await asyncio.sleep(_POLL_S)
            yield await _over_the_agent(call, sound, network.loss)


def _in_the_midst(call: Caller) -> bool:
    """Whether the agent has been talking for a while, and will be."""
    stretches, now = call.hearing.stretches, call.now()
    if not (stretches and stretches[-1].end > now - 0.2 and stretches[-1].begin < now - _SETTLED_S):
        return False
    if not call.journal.utterances:  # the data channel is slower than the voice
        return False
    last = call.journal.utterances[max(call.journal.utterances)]
    return not last.over and last.heard_ms < 1000 * _STORY_S and last.began > now - _STORY_S


async def _over_the_agent(call: Caller, sound: Sound, loss: float) -> Event:
    number = max(call.journal.utterances)
    heard: list[float] = []
    playing = asyncio.create_task(call.play(sound.audio, RATE))
    until = call.now() + len(sound.audio) / RATE + _AFTER_S
    while call.now() < until:
        last = call.hearing.last_audible_at
        if last is not None and (not heard or last != heard[-1]):
            heard.append(last)
        await asyncio.sleep(_POLL_S)
    try:
        begin, _ = await playing
    except CallEndedError as error:
        raise RuntimeError(f"a call ended: {error}") from error
    onset = begin - CAPTURE_S
    utterance = call.journal.utterances[number]
    flushed = utterance.ended - onset if utterance.state == "flushed" and utterance.ended is not None else None
    held = resumed = None
    for before, after in _silences([*heard, until]):
        if before >= begin - _SILENCED_S:
            held = before - onset
            if flushed is None and after < until:
                resumed = after - onset
            break
    return Event(sound.kind, sound.voice, sound.text, loss, *map(_ms, (held, flushed, resumed)))


def _silences(heard: list[float]) -> Iterator[tuple[float, float]]:
    """When nothing was audible: from, until."""
    times = np.array(heard)
    for index in np.flatnonzero(np.diff(times) > _SILENCED_S):
        yield float(times[index]), float(times[index + 1])


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
