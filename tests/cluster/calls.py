"""Calls that account for every frame in both directions while parts of the cluster are taken away."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from antiphon.client import Caller
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence


@dataclass
class Account:
    """What a scenario did to calls. Times in ms, counts of 20 ms frames."""

    calls: int = 0
    lost: int = 0
    """Calls that ended, or did not speak again."""
    moved: int = 0
    silences: list[float] = field(default_factory=list)
    """The longest time without a frame of the agent, for each call."""
    missing: int = 0
    """Of the agent's frames, those that the caller never got."""
    doubled: int = 0
    up_silences: list[float] = field(default_factory=list)
    up_missing: int = 0
    """Of the caller's frames, those that the agent never got."""
    up_doubled: int = 0
    cut: list[float] = field(default_factory=list)
    """How far the caller's stream is off where two edges' frames meet, for each call."""

    stalled_ms: float = 0.0
    """The longest time for which the callers' own process slept: they neither spoke nor heard anything meanwhile."""
    voices: list[float] = field(default_factory=list)
    """The longest time without a frame of another member of the room, for each call."""
    runs: set[int] = field(default_factory=set)
    """How many times the room's agent has begun by now, as members are told."""

    @property
    def longest(self) -> float:
        return max(self.silences, default=0.0)


class Pulse:
    """One call with the agent `pulse`, or `choir` where it is in a room."""

    def __init__(self, url: str, region: str | None = "frankfurt", *, room: str | None = None, name: str = "") -> None:
        agent = "choir" if room else "pulse"
        self.caller = Caller(url, agent=agent, region=region, room=room, slots=1, metadata={"name": name})
        self.heard: list[tuple[float, int]] = []
        """When which number came."""
        self.stalls: list[tuple[float, float]] = []
        """When this process slept, and for how long, in seconds."""
        self.others: list[float] = []
        """When a frame of another member came."""
        for voice in self.caller.voices:
            voice.packet = noted(voice.packet, self.others)  # type: ignore[method-assign, assignment]
        pass_on = self.caller.hearing.packet

        def packet(ssrc: int, timestamp: int, payload: bytes) -> int:
            if len(payload) == 40 and payload[0] == 0xF8:
                self.heard.append((time.monotonic(), int.from_bytes(payload[1:5], "big")))
            return pass_on(ssrc, timestamp, payload)

        self.caller.hearing.packet = packet  # type: ignore[method-assign]

    async def speaks(self, *, after: float, within: float = 30.0) -> bool:
        """Whether the agent is heard after a moment of the monotonic clock."""
        end = time.monotonic() + within
        while time.monotonic() < end and not self.caller.ended:
            if self.heard and self.heard[-1][0] > after:
                return True
            await asyncio.sleep(0.02)
        return False

    async def report(self) -> dict[str, Any]:
        """How the caller's frames came, as the agent says."""
        known = len(self.caller.messages)
        await self.caller.send("report")
        await self.caller.wait_for(lambda: len(self.caller.messages) > known, within=10)
        told: dict[str, Any] = self.caller.messages[-1]
        return told

    def away(self, since: float) -> float:
        """The longest time in ms from `since` on, and until now, in which no other member was heard."""
        before = [at for at in self.others if at < since]
        times = [*before[-1:], *(at for at in self.others if at >= since), time.monotonic()]
        return 1000 * max((after - before for before, after in itertools.pairwise(times)), default=0.0)

    def down(self, since: float) -> tuple[float, int, int]:
        """The longest silence in ms from `since` on, and how many numbers are missing and doubled."""
        before = [index for index, (at, _) in enumerate(self.heard) if at < since]
        heard = self.heard[before[-1] if before else 0 :]
        longest = max((after[0] - before[0] for before, after in itertools.pairwise(heard)), default=0.0)
        numbers = [number for _, number in heard]
        once = set(numbers)
        missing = max(numbers) - min(numbers) + 1 - len(once) if numbers else 0
        return 1000 * longest, missing, len(numbers) - len(once)


def noted(pass_on: Callable[[int, int, bytes], int], at: list[float]) -> Callable[[int, int, bytes], int]:
    """Takes a packet, and notes when it came."""

    def packet(ssrc: int, timestamp: int, payload: bytes) -> int:
        at.append(time.monotonic())
        return pass_on(ssrc, timestamp, payload)

    return packet


@asynccontextmanager
async def pulses(
    url: str, count: int, region: str | None = "frankfurt", *, room: str | None = None
) -> AsyncIterator[list[Pulse]]:
    """Calls that are connected and hear their agents, and in a room one another."""
    calls = [Pulse(url, region, room=room, name=f"caller {number}") for number in range(count)]
    watching = asyncio.create_task(_watch_own_process(calls))
    try:
        for call in calls:
            await call.caller.connect()
        began = time.monotonic()
        for call in calls:
            assert await call.speaks(after=began), "the agent is not heard"
            if room:
                await until(partial(bool, call.others), what="the voice of another member")
        yield calls
    finally:
        watching.cancel()
        await asyncio.gather(watching, *(call.caller.hang_up() for call in calls), return_exceptions=True)


async def _watch_own_process(calls: Sequence[Pulse]) -> None:
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.02)
        slept = time.monotonic() - began - 0.02
        for call in calls:
            call.stalls.append((began, slept))


async def settle(calls: Sequence[Pulse], since: float, *, quiet_s: float = 1.0, same_agents: bool = True) -> Account:
    """Lets the calls speak on for a while, and accounts for what happened since.

    Without `same_agents` some began anew: what those say is not accounted for, and of the callers' frames what came
    since the first that they heard.
    """
    await asyncio.sleep(quiet_s)
    slept = (seconds for call in calls for at, seconds in call.stalls if at >= since)
    account = Account(calls=len(calls), stalled_ms=1000 * max(slept, default=0.0))
    for call in calls:
        if not await call.speaks(after=time.monotonic(), within=5):
            account.lost += 1
            continue
        account.moved += bool(call.caller.moves)
        if call.caller.voices:
            account.voices.append(call.away(since))
        longest, missing, doubled = call.down(since)
        account.silences.append(longest)
        if same_agents:
            account.missing += missing
            account.doubled += doubled
        up = await call.report()
        account.up_silences.append(up["longest_ms"])
        account.up_missing += up["lost"]
        account.up_doubled += up["doubled"]
        account.cut.append(up["cut_ms"])
        account.runs |= {up["runs"]} if "runs" in up else set()
    return account
