"""What an agent says: one utterance at a time, sent ahead as far as the edge gives credit, and what of it was heard."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from antiphon.frames import CLOCK_RATE
from antiphon.worker import metrics
from antiphon.worker.holds import Command, Holds, Owner
from antiphon.worker.latency import Playout
from antiphon.worker.transport import LAST, LIVE, HeardBasis, PlayoutState, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from antiphon.worker.audio import Packet
    from antiphon.worker.latency import TurnTrace
    from antiphon.worker.speech import Word

CREDIT = 2 * CLOCK_RATE
"""So much may be at the edge unplayed."""
_YIELD_EVERY = 5
_FLUSH_REPORT_S = 1.0
_SILENCE = 60
"""In -dBov: what is quieter is no sound of an answer."""


@dataclass(frozen=True, slots=True)
class Said:
    """What became of an utterance."""

    utterance: int
    """Counted from 1 in each session; 0 where it never began."""
    heard: float
    """Seconds that the caller's device has played, as well as the edge can tell."""
    length: float
    """Seconds that were handed to the edge."""
    cut: str | None
    """None when all of it was played; else why not: interrupted, stopped, withdrawn, closed."""
    received: float = 0.0
    """Seconds that reached the caller's device, as well as the edge can tell: less what the network lost for good."""
    heard_by: Literal["estimate", "device"] = "estimate"
    """How `heard` is known: reckoned from the round trip, or told by the caller's device."""
    underruns: int = 0
    """Times that the caller had to wait because frames came too late."""
    words: tuple[Word, ...] | None = None
    """The words that were heard to their ends; None where the audio brought no words."""

    @property
    def text(self) -> str | None:
        """What was heard, to the word; None where the audio brought no words."""
        return None if self.words is None else " ".join(word.text for word in self.words)

    @property
    def text_exact(self) -> bool:
        """Whether the synthesiser told where each of these words ends; else that was estimated."""
        return all(word.exact for word in self.words or ())

    @property
    def complete(self) -> bool:
        return self.cut is None


class Utterance:
    """An utterance in progress. It is settled once no more of it will be played."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.length = 0
        self.sent = 0
        self.heard = 0
        self.received = 0
        self.by_device = False
        self.underruns = 0
        self.words: list[Word] = []
        self.silent = True
        """Whether all of it so far is silence."""
        self.state = ""
        self.cut: str | None = None
        self.moved = asyncio.Event()
        self.settled = asyncio.Event()
        self.trace: TurnTrace | None = None
        """Of the turn that it is the first answer to."""

    def said(self) -> Said:
        heard_s = math.inf if self.cut is None else self.heard / CLOCK_RATE
        words = tuple(word for word in self.words if word.end <= heard_s) if self.words else None
        return Said(
            utterance=self.number,
            heard=self.heard / CLOCK_RATE,
            length=self.length / CLOCK_RATE,
            cut=self.cut,
            received=self.received / CLOCK_RATE,
            heard_by="device" if self.by_device else "estimate",
            underruns=self.underruns,
            words=words,
        )


class Speaker:
    """Says one utterance after the other. `tell(utterance, state)` hears of each change of state.

    `answered(trace)` is called once the answer to a turn is at the caller's ear.

    `begins(True)` is called before an utterance's first frame leaves, `begins(False)` when no more of it is played.
    """

    def __init__(
        self,
        transport: Transport,
        tell: Callable[[Utterance, str], None],
        begins: Callable[[bool], None] = lambda _: None,
        answered: Callable[[TurnTrace], None] = lambda _: None,
    ) -> None:
        self._transport = transport
        self._tell = tell
        self._begins = begins
        self._answered = answered
        self._floor = asyncio.Lock()
        self._numbers = 0
        self._generation = 0
        self._current: Utterance | None = None
        self._live = 0
        self._holds = Holds()
        self._let_go_of = asyncio.Event()
        self._closed = False

    @property
    def speaking(self) -> bool:
        return self._current is not None

    async def say(
        self, packets: AsyncIterator[Packet], take_floor: Callable[[], str | None], trace: TurnTrace | None = None
    ) -> Said:
        """Returns when played, or cut. `take_floor` tells, once it is free, why this must not be said any more.

        `trace` is that of the turn that is answered; it hears of the first frame, and how it was played.
        """
        async with self._floor:
            reason = "closed" if self._closed else take_floor()
            if reason is not None:
                return Said(0, 0.0, 0.0, reason)
            self._numbers += 1
            utterance = self._current = Utterance(self._numbers)
            if trace is not None and "frame" not in trace.moments:
                utterance.trace = trace
            try:
                return await self._play(utterance, packets)
            finally:
                self._current = None
                self._begins(False)

    async def _play(self, utterance: Utterance, packets: AsyncIterator[Packet]) -> Said:
        producer = asyncio.create_task(self._produce(utterance, packets), name=name_of_task())
        settled = asyncio.create_task(utterance.settled.wait())
        try:
            await asyncio.wait((producer, settled), return_when=asyncio.FIRST_COMPLETED)
            if producer.done():
                producer.result()
                await settled
        except BaseException:
            self._cut(utterance, "withdrawn")
            self._settle(utterance)
            raise
        finally:
            settled.cancel()
            producer.cancel()
            await asyncio.gather(producer, return_exceptions=True)
        return utterance.said()

    async def _produce(self, utterance: Utterance, packets: AsyncIterator[Packet]) -> None:
        play, generation, count = self._transport.play, self._generation, 0
        async for payload, duration, level, words in packets:
            if utterance.length - utterance.sent >= CREDIT:
                await self._credit(utterance)
            if not count:
                await self._begin()
                if utterance.trace is not None:
                    utterance.trace.mark("frame", asyncio.get_running_loop().time())
            if utterance.silent:
                utterance.silent = level >= _SILENCE
                if utterance.trace is not None and not utterance.silent:
                    utterance.trace.lead = utterance.length / CLOCK_RATE
            play(utterance.number, generation, duration, 0, payload, level)
            utterance.length += duration
            utterance.words += words
            count += 1
            if count % _YIELD_EVERY == 0:  # encoding costs: let others run
                await asyncio.sleep(0)
        if count == 0:
            utterance.settled.set()
        else:
            play(utterance.number, generation, 0, LAST, b"")

    async def _begin(self) -> None:
        """Nothing leaves while it is not clear that the caller lets the agent speak."""
        self._begins(True)
        while Owner.WORKER in self._holds:
            self._let_go_of.clear()
            await self._let_go_of.wait()

    @staticmethod
    async def _credit(utterance: Utterance) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while utterance.length - utterance.sent >= CREDIT:
            utterance.moved.clear()
            await utterance.moved.wait()
        metrics.CREDIT_WAIT_SECONDS.inc(loop.time() - began)

    def forward(self, payload: bytes, duration: int, level: int = 0) -> None:
        """Plays a packet at once, outside any utterance."""
        if self._closed:  # whoever plays on must not be heard by the next session of this handle
            metrics.dropped("frame", "closed")
            return
        if not self._live:
            self._numbers += 1
            self._live = self._numbers
        self._transport.play(self._live, self._generation, duration, LIVE, payload, level)

    def stop(self, reason: str) -> None:
        """Cuts the utterance in progress; what is queued at the edge is thrown away."""
        if self._current is not None:
            self._cut(self._current, reason)

    def hold(self) -> None:
        self._hold(Owner.AGENT)

    def resume(self) -> None:
        self._let_go(Owner.AGENT)

    def doubt(self, begins: bool) -> None:  # noqa: FBT001 - as the listener tells it
        """The caller may be about to speak: what is being said waits until that is known, which is sooner silent."""
        if not begins:
            self._let_go(Owner.WORKER)
            self._let_go_of.set()
        elif self._current is not None and self._current.cut is None:
            self._hold(Owner.WORKER)

    def held_by_edge(self) -> None:
        """The edge has paused what is being said, and waits for a stop or a release."""
        if self._current is not None and self._current.cut is None:
            self._hold(Owner.EDGE)
            metrics.EDGE_HOLDS.inc()

    @property
    def is_held_by_edge(self) -> bool:
        return Owner.EDGE in self._holds

    def release(self) -> None:
        """What the edge noticed was no voice of the caller; what it holds goes on."""
        if Owner.EDGE in self._holds:
            metrics.EDGE_HOLDS_ENDED.labels("released").inc()
        self._holds = Holds(self._holds.owners - {Owner.EDGE})
        if not self._closed:
            self._transport.release()

    def _hold(self, owner: Owner) -> None:
        self._holds, command = self._holds.take(owner)
        self._say_to_edge(command)

    def _let_go(self, owner: Owner) -> None:
        self._holds, command = self._holds.let_go(owner)
        self._say_to_edge(command)

    def _say_to_edge(self, command: Command | None) -> None:
        if command is Command.HOLD and not self._closed:
            self._transport.hold()
        elif command is Command.RESUME and not self._closed:
            self._transport.resume()

    def close(self) -> None:
        """Nothing will be played any more."""
        self._closed = True
        if self._current is not None:
            self._current.cut = self._current.cut or "closed"
            self._settle(self._current)

    def _cut(self, utterance: Utterance, reason: str) -> None:
        if utterance.cut is not None or utterance.settled.is_set():
            return
        utterance.cut = reason
        self._generation += 1
        self._transport.flush(self._generation)
        if Owner.EDGE in self._holds:
            metrics.EDGE_HOLDS_ENDED.labels("confirmed").inc()
        self._holds = Holds()  # as a flush does at the edge
        asyncio.get_running_loop().call_later(_FLUSH_REPORT_S, self._settle, utterance)

    def _heard_first(self, utterance: Utterance) -> None:
        """The answer is at the caller's ear."""
        trace, utterance.trace = utterance.trace, None
        if trace is not None:
            self._answered(trace)

    def _settle(self, utterance: Utterance) -> None:
        if not utterance.settled.is_set():
            utterance.settled.set()
            utterance.moved.set()
            state = "ended" if utterance.cut is None else "flushed"
            metrics.UTTERANCES.labels(state).inc()
            self._change(utterance, state)

    def _change(self, utterance: Utterance, state: str) -> None:
        if utterance.state != state:
            utterance.state = state
            self._tell(utterance, state)

    def report(
        self,
        number: int,
        sent: int,
        heard: int,
        state: int,
        received: int = 0,
        basis: int = HeardBasis.ESTIMATE,
        underruns: int = 0,
        began_us: int = 0,
        way_us: int = 0,
        to_the_ear_us: int = 0,
    ) -> None:
        """The edge tells how far an utterance is: amounts in 48 kHz samples.

        `began_us` is when its first frame left, on the edge's clock, 0 where that is not known; the others are what a
        frame takes from there to the caller's device, and to the caller's ear.
        """
        utterance = self._current
        if utterance is None or utterance.number != number or utterance.settled.is_set():
            return
        utterance.sent = max(utterance.sent, sent)
        utterance.heard = max(utterance.heard, heard)
        utterance.received = max(utterance.received, received)
        utterance.by_device = basis == HeardBasis.DEVICE
        utterance.underruns = underruns
        utterance.moved.set()
        if began_us and utterance.trace is not None:
            sent_s = self._transport.worker_s(began_us / 1e6)
            utterance.trace.played(Playout(sent_s, way_us / 1e6, to_the_ear_us / 1e6, utterance.by_device))
            if heard:
                self._heard_first(utterance)
        if not utterance.state and sent:
            self._change(utterance, "started")
        if state == PlayoutState.ENDED:
            utterance.cut = None  # all of it left before the flush got there
            utterance.heard = utterance.length
            self._settle(utterance)
        elif state == PlayoutState.FLUSHED and utterance.cut is not None:
            self._settle(utterance)
        elif state == PlayoutState.HELD:
            self._change(utterance, "held")
        elif utterance.state == "held":
            self._change(utterance, "resumed")


def name_of_task() -> str | None:
    """Tasks are named after their session: the watchdog tells whose code holds the loop."""
    task = asyncio.current_task()
    return task.get_name() if task is not None else None
