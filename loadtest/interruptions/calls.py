"""Callers who make sounds over the storyteller, on a whole cluster, and what they hear of it.

The callers are native (`make callers`): what they cost is a percent of a core, so that they do not spoil what they
measure. A sound's onset is that of its first sample in the frames as they were sent, which a microphone took for 20 ms
before. Held is when the last audible frame before a silence came; flushed when the agent's own code knew that it was
cut, after the edge had told so, by the clock that all processes of a machine share. Loss is of both directions, in
bursts of two.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import numpy as np

from antiphon.callers import address_towards, start_callers
from antiphon.opus import Encoder, pcm_level
from loadtest.hold.sound import FRAME, OPUS_RATE, RATE, gain, upsampled
from loadtest.interruptions.event import Event, milliseconds
from loadtest.measuring import servers
from loadtest.measuring.tools import BenchError
from loadtest.measuring.tools import say as progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from antiphon.callers import Clip
    from antiphon.callers._callers import Callers
    from loadtest.interruptions.sounds import Sound

_POLL_S = 0.01
_HISS_DBOV = -70.0
_WARM_UP_S = 4.0
"""A caller's hiss, from which the edge learns its floor, and that the agent does not come back."""
_SETTLED_S = 1.0
_AFTER_S = 2.0
_PATIENCE_S = 40.0
_A_CALL = 12
_TRIES = 3


@dataclass
class _Line:
    """One caller."""

    call: int
    session: str
    told: asyncio.Event = field(default_factory=asyncio.Event)
    began_ms: float | None = None
    """When the last clip's first frame was sent."""
    speaking_since: float | None = None
    """When the agent began to speak, on the monotonic clock; None while it is silent."""
    gave_way_ms: float | None = None
    resumed: float | None = None
    over: str | None = None


class Exchange:
    """All callers of a run."""

    def __init__(self, url: str, log: Path) -> None:
        """log: where the storyteller writes when it was cut. Raises NoCallersError, OSError."""
        self.native: Callers = start_callers(bind=address_towards(url), threads=1)
        self._http = httpx.AsyncClient(base_url=url, timeout=30.0, trust_env=False)
        self._log = log
        self._lines: dict[int, _Line] = {}
        self._ends: dict[str, list[tuple[float, str | None]]] = defaultdict(list)
        self._read = 0

    async def run(self) -> None:
        """Takes what happens, until it is cancelled."""
        while True:
            for call, kind, ms, text in self.native.poll():
                line = self._lines.get(call)
                if line is not None:
                    _happened(line, kind, ms, text)
            await asyncio.sleep(_POLL_S)

    async def place(self, agent: str, loss: float) -> _Line:
        """Raises BenchError where there is no answer."""
        call, offer = self.native.offer("all", echoes=False, impairment=(0.0, 0.0, loss) if loss else None)
        answer = await self._http.post(
            "/v1/sessions",
            params={"agent": agent, "region": servers.REGION},
            content=offer,
            headers={"Content-Type": "application/sdp"},
        )
        if answer.status_code != httpx.codes.CREATED:
            raise BenchError(f"no call: {answer.text}")
        line = _Line(call, answer.headers["Location"].rpartition("/")[2])
        self._lines[call] = line
        self.native.answer(call, answer.text)
        return line

    def hang_up(self, line: _Line) -> None:
        self.native.hang_up(line.call)
        self._lines.pop(line.call, None)

    async def close(self) -> None:
        await asyncio.to_thread(self.native.close)
        await self._http.aclose()

    def monotonic(self, callers_ms: float) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic() - (self.native.now() - callers_ms) / 1000

    def ended(self, session: str, since: float) -> list[tuple[float, str | None]]:
        """When the storyteller's utterances were over since then, and what cut them."""
        with suppress(OSError):
            lines = self._log.read_text(encoding="utf-8")[self._read :]
            whole = lines[: lines.rfind("\n") + 1]
            self._read += len(whole)
            for line in whole.splitlines():
                one = json.loads(line)
                self._ends[one["session"]].append((one["at"], one["cut"]))
        return [end for end in self._ends[session] if end[0] >= since]


def _happened(line: _Line, kind: str, ms: float, text: str) -> None:
    now = time.monotonic()
    match kind:
        case "agent_speaks":
            line.speaking_since = now
            line.resumed = now
        case "agent_silent":
            line.speaking_since = None
        case "began":
            line.began_ms = ms
        case "barge_in":
            line.gave_way_ms = ms
        case "ended":
            line.over = text or "hung up"
    line.told.set()


async def measure(url: str, log: Path, agent: str, sounds: list[Sound], *, loss: float, callers: int) -> list[Event]:
    """Each sound over the agent's speech, by so many callers at a time."""
    exchange, waiting, events = Exchange(url, log), iter(sounds), list[Event]()
    random = np.random.default_rng(1)

    async def call() -> None:
        while batch := [sound for _, sound in zip(range(_A_CALL), waiting, strict=False)]:
            line = await exchange.place(agent, loss)
            await _speak(exchange, line, _clip(np.zeros(round(_WARM_UP_S * RATE)), 0, random))
            for sound in batch:
                events.append(await _over_the_agent(exchange, line, sound, loss, random))
                if len(events) % 20 == 0:
                    progress(f"{agent}, {loss:.0%} loss: {len(events)} of {len(sounds)} sounds")
            exchange.hang_up(line)

    pump = asyncio.create_task(exchange.run())
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(call())
    finally:
        pump.cancel()
        await exchange.close()
    return events


def _clip(sound: NDArray[np.float64], begin: int, random: np.random.Generator) -> Clip:
    """Encoded as Chromium does, its first sample after `begin` samples, with a microphone's hiss."""
    count = -(-(begin + len(sound)) // FRAME) * FRAME
    heard = random.standard_normal(count) * gain(_HISS_DBOV)
    heard[begin : begin + len(sound)] += sound
    encoder = Encoder(OPUS_RATE, complexity=9, loss_percent=0)
    fine = np.clip(np.round(upsampled(heard) * 32768), -32768, 32767).astype(np.int16)
    coarse = np.clip(np.round(heard * 32768), -32768, 32767).astype(np.int16).reshape(-1, FRAME)
    packets = (encoder.encode(block) for block in fine.reshape(-1, encoder.samples))
    return [(packet, pcm_level(block)) for packet, block in zip(packets, coarse, strict=True)]


async def _speak(exchange: Exchange, line: _Line, clip: Clip) -> float:
    """Says it once the agent has been talking for a while. Returns when the first frame was sent."""
    await _until(line, lambda: _settled(line))
    line.began_ms = line.gave_way_ms = line.resumed = None
    exchange.native.speak(line.call, exchange.native.add_clip(clip))
    await _until(line, lambda: line.began_ms is not None)
    began = exchange.monotonic(line.began_ms or 0.0)
    await asyncio.sleep(len(clip) * 0.02 + _AFTER_S)
    return began


def _settled(line: _Line) -> bool:
    return line.speaking_since is not None and time.monotonic() - line.speaking_since >= _SETTLED_S


async def _over_the_agent(
    exchange: Exchange, line: _Line, sound: Sound, loss: float, random: np.random.Generator
) -> Event:
    for _ in range(_TRIES):
        begin = int(random.integers(FRAME))
        began = await _speak(exchange, line, _clip(sound.audio.astype(np.float64) / 32768, begin, random))
        onset = began - 0.02 + begin / RATE
        ends = exchange.ended(line.session, onset)
        if any(cut is None for _, cut in ends):
            continue  # the story was over in the midst of it
        flushed = min((at for at, _ in ends), default=None)
        held = None if line.gave_way_ms is None else line.gave_way_ms / 1000 - begin / RATE
        resumed = line.resumed - onset if flushed is None and held is not None and line.resumed is not None else None
        flushed = None if flushed is None else flushed - onset
        return Event(sound.kind, sound.voice, sound.text, loss, *map(milliseconds, (held, flushed, resumed)))
    raise BenchError("the story ends whenever somebody speaks")


async def _until(line: _Line, condition: Callable[[], bool]) -> None:
    """Raises BenchError where the call is over, or nothing happens."""
    until = time.monotonic() + _PATIENCE_S
    while not condition():
        if line.over is not None:
            raise BenchError(f"a call ended: {line.over}")
        if time.monotonic() > until:
            raise BenchError("the agent does not speak")
        line.told.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await line.told.wait()
