"""The agents of the chaos tests: they say numbered packets without end, and account for the callers' frames."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from antiphon.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.frames import Frame
    from antiphon.worker import Room, Session

worker = Worker()
_HALF = 480


@worker.agent("pulse")
async def pulse(session: Session) -> None:
    """Told anything, it tells how the caller's frames came. At another worker it goes on about where it was."""
    ear = Ear()
    number = (await session.restored() or {"number": 0})["number"]

    @session.on_message
    def report(_data: Any) -> None:
        session.send(ear.report())

    listening = asyncio.create_task(ear.listen(session))
    try:
        await session.say(numbers(session, number))
        await session.wait_closed()
    finally:
        listening.cancel()


@worker.room_agent("choir")
async def choir(room: Room) -> None:
    """As `pulse`, for each member of a room; it tells besides how many runs the room has had, and who is there."""
    ears: dict[str, Ear] = {}
    runs = (await room.restored() or 0) + 1
    room.checkpoint(runs)

    @room.on_join
    async def sing(member: Session) -> None:
        ear = ears[member.id] = Ear()
        listening = asyncio.create_task(ear.listen(member))
        number = (await member.restored() or {"number": 0})["number"]
        try:
            await member.say(numbers(member, number))
        finally:
            listening.cancel()

    @room.on_message
    def report(_data: Any, member: Session) -> None:
        names = sorted(str(one.metadata.get("name")) for one in room.members)
        member.send({**ears[member.id].report(), "runs": runs, "members": names})


async def numbers(session: Session, number: int) -> AsyncIterator[bytes]:
    """Opus packets of 20 ms (CELT, full band), each with its number behind the first octet."""
    while True:
        if number % 10 == 0:
            session.checkpoint({"number": number})
        yield b"\xf8" + number.to_bytes(4, "big") + bytes(35)
        number += 1


class Ear:
    """Counts what is missing, what came twice, and the longest time without a frame."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._first: int | None = None
        self._highest = -1
        self._last: Frame | None = None
        self._came = 0.0
        self._longest = 0.0
        self._doubled = 0
        self._leaps: list[float] = []

    async def listen(self, session: Session) -> None:
        async for frame in session.frames():
            self.hear(frame)

    def hear(self, frame: Frame) -> None:
        now = time.monotonic()
        if self._last is not None:
            self._longest = max(self._longest, now - self._came)
        self._came = now
        if frame.sequence in self._seen:
            self._doubled += 1
        self._seen.add(frame.sequence)
        self._first = frame.sequence if self._first is None else self._first
        last = self._last
        if last is not None and frame.sequence == last.sequence + 1:
            leap = frame.timestamp - last.timestamp - last.duration
            self._doubled += leap < -_HALF  # said twice: it lies where another frame does
            if abs(leap) > 0:
                self._leaps.append(leap / 48)
        if frame.sequence > self._highest:
            self._highest, self._last = frame.sequence, frame

    def report(self) -> dict[str, Any]:
        first = self._first or 0
        expected = self._highest - first + 1 if self._seen else 0
        return {
            "frames": len(self._seen),
            "lost": expected - len(self._seen),
            "doubled": self._doubled,
            "longest_ms": round(1000 * self._longest, 1),
            "cut_ms": round(max(map(abs, self._leaps), default=0.0), 1),
        }
