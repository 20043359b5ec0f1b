"""What an agent says: one utterance at a time, sent ahead as far as the edge gives credit, and what of it was heard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from antiphon.frames import CLOCK_RATE
from antiphon.worker import metrics
from antiphon.worker.holds import Command, Holds, Owner
from antiphon.worker.latency import Playout
from antiphon.worker.transport import LAST, LIVE, HeardBasis, PlayoutState, Transport
from antiphon.worker.utterance import Said, Utterance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from antiphon.worker.audio import Packet
    from antiphon.worker.latency import TurnTrace

CREDIT = 2 * CLOCK_RATE
"""So much may be at the edge unplayed."""
_YIELD_EVERY = 5
_FLUSH_REPORT_S = 1.0
_LEFT_REPORT_S = 0.3
"""An edge that is left tells within this how far it played."""
_SILENCE = 60
"""In -dBov: what is quieter is no sound of an answer."""


class Witness(Protocol):
    """Hears all that is said, and how far it was heard: see `Recorder`."""

    def queued(self, utterance: int, end: int, duration: int, payload: bytes) -> None: ...

    def forwarded(self, duration: int, payload: bytes) -> None: ...

    def forwarding(self, to_the_ear_us: int) -> None: ...

    def reported(
        self,
        utterance: int,
        sent: int,
        heard: int,
        *,
        paused: bool,
        base: int,
        began_us: int,
        to_the_ear_us: int,
    ) -> None: ...

    def settled(self, utterance: int, heard: int) -> None: ...


class Speaker:
    """Says one utterance after the other. `tell(utterance, state)` hears of each change of state.

    `answered(trace)` is called once the answer to a turn is at the caller's ear.

    `spoke()` is called when an utterance's first frame leaves.

    `begins(True)` is called before an utterance's first frame leaves, `begins(False)` when no more of it is played.
    """

    def __init__(
        self,
        transport: Transport,
        tell: Callable[[Utterance, str], None],
        begins: Callable[[bool], None] = lambda _: None,
        answered: Callable[[TurnTrace], None] = lambda _: None,
        spoke: Callable[[], None] = lambda: None,
    ) -> None:
        self._transport = transport
        self._tell = tell
        self._begins = begins
        self._answered = answered
        self._spoke = spoke
        self._floor = asyncio.Lock()
        self._numbers = 0
        self._generation = 0
        self._current: Utterance | None = None
        self._live = 0
        self._holds = Holds()
        self._let_go_of = asyncio.Event()
        self._closed = False
        self._lost = False
        self._inherited = 0
        self.witness: Witness | None = None

    def take_over(self, utterance: int, generation: int) -> None:
        """Another worker spoke before: what is said follows its utterances, and what of them is left can be cut."""
        self._numbers = self._inherited = utterance
        self._generation = generation

    @property
    def speaking(self) -> bool:
        return self._current is not None

    async def say(
        self, packets: AsyncIterator[Packet], take_floor: Callable[[], str | None], trace: TurnTrace | None = None
    ) -> Said:
        """Returns when played, or cut. `take_floor` tells, once it is free, why this must not be said any more.

        The floor is taken when there is a first packet: what is still being made keeps nobody else from speaking.

        `trace` is that of the turn that is answered; it hears of the first frame, and how it was played.
        """
        first = await anext(packets, None)
        if first is None:
            return Said(0, 0.0, 0.0, None)
        async with self._floor:
            reason = "closed" if self._closed else take_floor()
            if reason is not None:
                return Said(0, 0.0, 0.0, reason)
            self._numbers += 1
            utterance = self._current = Utterance(self._numbers)
            utterance.generation, utterance.waits = self._generation, self._lost
            if trace is not None and "frame" not in trace.moments:
                utterance.trace = trace
            try:
                return await self._play(utterance, first, packets)
            finally:
                self._current = None
                self._begins(False)

    async def _play(self, utterance: Utterance, first: Packet, packets: AsyncIterator[Packet]) -> Said:
        producer = asyncio.create_task(self._produce(utterance, first, packets), name=name_of_task())
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

    async def _produce(self, utterance: Utterance, first: Packet, packets: AsyncIterator[Packet]) -> None:
        await self._begin()
        if utterance.trace is not None:
            utterance.trace.mark("frame", asyncio.get_running_loop().time())
        self._hand_over(utterance, first)
        self._spoke()
        count = 1
        async for packet in packets:
            if utterance.length - utterance.sent >= CREDIT:
                await self._credit(utterance)
            self._hand_over(utterance, packet)
            count += 1
            if count % _YIELD_EVERY == 0:  # encoding costs: let others run
                await asyncio.sleep(0)
        utterance.finished = True
        if not utterance.waits:
            self._transport.play(utterance.number, utterance.generation, 0, LAST, b"")

    def _hand_over(self, utterance: Utterance, packet: Packet) -> None:
        payload, duration, level, words = packet
        if utterance.silent:
            utterance.silent = level >= _SILENCE
            if utterance.trace is not None and not utterance.silent:
                utterance.trace.lead = utterance.length / CLOCK_RATE
        utterance.length += duration
        utterance.unsent.append((utterance.length, duration, payload, level))
        if self.witness is not None:
            self.witness.queued(utterance.number, utterance.length, duration, payload)
        utterance.words += words
        if not utterance.waits:
            self._transport.play(utterance.number, utterance.generation, duration, 0, payload, level)

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
            self._spoke()
        if self.witness is not None and not self._lost:
            self.witness.forwarded(duration, payload)
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

    # another edge

    def lose_edge(self) -> None:
        """The edge is gone: what is said waits for another one."""
        self._lost = True
        if self._current is not None:
            self._current.waits = True

    def move(self, transport: Transport) -> None:
        """Another edge plays from now on, from where the one before stopped, which that one tells."""
        before, self._transport = self._transport, transport
        lost, self._lost = self._lost, False
        self._holds = Holds(self._holds.owners - {Owner.EDGE})
        if self._holds.owners:
            transport.hold()
        utterance = self._current
        if utterance is None or utterance.cut is not None or utterance.settled.is_set():
            return
        self._generation += 1
        utterance.generation = self._generation
        utterance.waits = True
        if lost:
            self._go_on(utterance)
        else:
            before.flush(self._generation)
            asyncio.get_running_loop().call_later(_LEFT_REPORT_S, self._go_on, utterance)

    def left(self, number: int, sent: int, heard: int, state: int) -> None:
        """The edge that was left tells how far an utterance is, or was when it was told to stop."""
        utterance = self._current
        if utterance is None or utterance.number != number or not utterance.waits or utterance.settled.is_set():
            return
        utterance.sent = max(utterance.sent, utterance.base + sent)
        utterance.heard = max(utterance.heard, min(utterance.base + heard, utterance.sent))
        if state in (PlayoutState.FLUSHED, PlayoutState.ENDED):
            self._go_on(utterance)

    def _go_on(self, utterance: Utterance) -> None:
        """Hands the new edge what the old one has not sent."""
        if not utterance.waits or self._lost or utterance.cut is not None or utterance.settled.is_set():
            return
        utterance.waits = False
        self._forget_sent(utterance)
        utterance.base = utterance.sent
        play = self._transport.play
        for _, duration, payload, level in utterance.unsent:
            play(utterance.number, utterance.generation, duration, 0, payload, level)
        if utterance.finished and utterance.unsent:
            play(utterance.number, utterance.generation, 0, LAST, b"")
        elif utterance.finished:
            utterance.heard = utterance.length
            self._settle(utterance)
        utterance.moved.set()

    @staticmethod
    def _forget_sent(utterance: Utterance) -> None:
        while utterance.unsent and utterance.unsent[0][0] <= utterance.sent:
            utterance.unsent.popleft()

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
            if self.witness is not None:
                self.witness.settled(utterance.number, utterance.heard)
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
            self._report_other(number, sent, heard, state)
            self._forwarding(number, to_the_ear_us)
            return
        if utterance.waits:
            return  # of the edge that it comes to, which has nothing of it yet
        utterance.sent = max(utterance.sent, utterance.base + sent)
        utterance.heard = max(utterance.heard, utterance.base + heard)
        utterance.received = max(utterance.received, utterance.base + received)
        self._forget_sent(utterance)
        utterance.by_device = basis == HeardBasis.DEVICE
        utterance.underruns = underruns
        utterance.moved.set()
        self._witness_report(utterance, sent, state, began_us, to_the_ear_us)
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

    def _report_other(self, number: int, sent: int, heard: int, state: int) -> None:
        """Of an utterance of the worker before the end is told in that one's stead."""
        if number <= self._inherited and state in (PlayoutState.ENDED, PlayoutState.FLUSHED):
            left = Utterance(number)
            left.length = left.sent = sent
            left.heard = min(heard, sent) if state == PlayoutState.FLUSHED else sent
            self._change(left, "ended" if state == PlayoutState.ENDED else "flushed")

    def _forwarding(self, number: int, to_the_ear_us: int) -> None:
        if self.witness is not None and number == self._live:
            self.witness.forwarding(to_the_ear_us)

    def _witness_report(self, utterance: Utterance, sent: int, state: int, began_us: int, to_the_ear_us: int) -> None:
        if self.witness is not None:
            self.witness.reported(
                utterance.number,
                utterance.base + sent,  # less than before where a held device gives back
                utterance.heard,
                paused=state in (PlayoutState.HELD, PlayoutState.STARVED),
                base=utterance.base,
                began_us=began_us,
                to_the_ear_us=to_the_ear_us,
            )


def name_of_task() -> str | None:
    """Tasks are named after their session: the watchdog tells whose code holds the loop."""
    task = asyncio.current_task()
    return task.get_name() if task is not None else None
