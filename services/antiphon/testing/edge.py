"""A simulated edge: plays what an agent says at its pace, obeys hold, resume and flush, and reports."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from antiphon.frames import CLOCK_RATE
from antiphon.opus import Decoder
from antiphon.worker.transport import LAST, LIVE, HeardBasis, PlayoutState

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.opus import Pcm

    Report = Callable[..., None]
    """As `Speaker.report`."""

REPORT_S = 0.1
PATH_S = 0.04
"""From the edge to the caller's ear."""


class Heard:
    """An utterance of the agent as the caller got it. Times are of the call's clock, in seconds."""

    def __init__(self, utterance: int, *, live: bool) -> None:
        self.utterance = utterance
        self.live = live
        self.packets: list[bytes] = []
        """What the edge sent."""
        self.started_at: float | None = None
        self.ended_at: float | None = None
        """When the last of it left the edge; None while it may go on."""
        self.complete = False
        """Whether all of it was played."""
        self.queued_ticks = 0
        self.sent_ticks = 0

    @property
    def length(self) -> float:
        """Seconds that the agent has handed over."""
        return self.queued_ticks / CLOCK_RATE

    @property
    def sent(self) -> float:
        """Seconds that were played to the caller."""
        return self.sent_ticks / CLOCK_RATE

    def pcm(self, rate: int = 16_000) -> Pcm:
        """What was played, decoded: mono int16, shape (samples,)."""
        decoder = Decoder(rate)
        return np.concatenate([np.zeros(0, np.int16), *map(decoder.decode, self.packets)])

    def __repr__(self) -> str:
        state = "complete" if self.complete else "cut" if self.ended_at is not None else "going on"
        return f"<Heard {self.utterance}: {self.sent:.2f} of {self.length:.2f} s, {state}>"


class _Queued(NamedTuple):
    heard: Heard
    generation: int
    duration: int
    last: bool
    payload: bytes


class SimulatedEdge:
    """A Transport. `report` is the speaker's, `receive` gets data messages, `hung_up` the agent's wish to end."""

    def __init__(self, receive: Callable[[str, bytes, bool], None], hung_up: Callable[[str], None]) -> None:
        self.report: Report = lambda *_: None
        self.said: list[Heard] = []
        self.muted = False
        """Whether nobody in its room hears the caller."""
        self.refused = 0
        """Frames of generations that were flushed already."""
        self._receive = receive
        self._hung_up = hung_up
        self._queue: deque[_Queued] = deque()
        self._generation = 0
        self._held = False
        self._busy: asyncio.TimerHandle | None = None
        self._reporter: asyncio.TimerHandle | None = None
        self._playing: Heard | None = None
        self._farewell: str | None = None

    # Transport

    def play(self, utterance: int, generation: int, duration: int, flags: int, payload: bytes, level: int = 0) -> None:
        del level  # callers here have no echo
        heard = self._heard(utterance, live=bool(flags & LIVE))
        if generation < self._generation:
            self.refused += 1
            return
        heard.queued_ticks += duration
        if flags & LIVE:
            self._send(heard, duration, payload)
            return
        self._queue.append(_Queued(heard, generation, duration, bool(flags & LAST), payload))
        if self._busy is None:
            self._next()

    def hold(self) -> None:
        self._held = True
        self._report_now(PlayoutState.HELD)

    def resume(self) -> None:
        self._held = False
        self._report_now(PlayoutState.PLAYING)
        if self._busy is None:
            self._next()

    def release(self) -> None: ...

    def set_policy(self, *, hold_on_voice: bool) -> None: ...

    def done(self, timestamp: int) -> None: ...

    def flush(self, generation: int) -> None:
        self._generation = generation
        flushed = dict.fromkeys(item.heard for item in self._queue if item.generation < generation)
        self._queue = deque(item for item in self._queue if item.generation >= generation)
        if self._playing is not None:
            flushed[self._playing] = None
        self._held = False
        for heard in flushed:
            self._end(heard, PlayoutState.FLUSHED)
        self._playing = None
        self._say_farewell()

    def send_data(self, label: str, payload: bytes, *, binary: bool) -> None:
        self._receive(label, payload, binary)

    def mute(self, muted: bool) -> None:  # noqa: FBT001
        self.muted = muted

    def worker_s(self, edge_s: float) -> float:
        return edge_s

    def hang_up(self, reason: str, *, after_playout: bool) -> None:
        self._farewell = reason
        if not after_playout:
            self._queue.clear()
            self._playing = None
        self._say_farewell()

    # playout

    def _heard(self, utterance: int, *, live: bool) -> Heard:
        for heard in reversed(self.said):
            if heard.utterance == utterance:
                return heard
        heard = Heard(utterance, live=live)
        self.said.append(heard)
        return heard

    def _next(self) -> None:
        self._busy = None
        if self._held:
            return
        if not self._queue:
            if self._playing is not None:
                self._report_now(PlayoutState.STARVED)
            return
        heard, _, duration, last, payload = self._queue.popleft()
        self._playing = heard
        if duration:
            self._send(heard, duration, payload)
        loop = asyncio.get_running_loop()
        if last:
            self._playing = None
            heard.complete = True
            self._end(heard, PlayoutState.ENDED)
            self._say_farewell()
        if self._reporter is None:
            self._reporter = loop.call_later(REPORT_S, self._report_regularly)
        self._busy = loop.call_later(duration / CLOCK_RATE, self._next)

    def _send(self, heard: Heard, duration: int, payload: bytes) -> None:
        if heard.started_at is None:
            heard.started_at = asyncio.get_running_loop().time()
        heard.packets.append(payload)
        heard.sent_ticks += duration

    def _end(self, heard: Heard, state: PlayoutState) -> None:
        heard.ended_at = asyncio.get_running_loop().time()
        self._report(heard, state)

    def _report_regularly(self) -> None:
        self._reporter = None
        if self._playing is not None:
            self._report_now(PlayoutState.HELD if self._held else PlayoutState.PLAYING)
            self._reporter = asyncio.get_running_loop().call_later(REPORT_S, self._report_regularly)

    def _report_now(self, state: PlayoutState) -> None:
        if self._playing is not None:
            self._report(self._playing, state)

    def _report(self, heard: Heard, state: PlayoutState) -> None:
        in_flight = 0 if state == PlayoutState.ENDED else round(PATH_S * CLOCK_RATE)
        ticks = max(0, heard.sent_ticks - in_flight)
        sent = heard.sent_ticks
        began_us = round((heard.started_at or 0.0) * 1e6)
        path_us = round(PATH_S * 1e6)
        told = (heard.utterance, sent, ticks, state, sent, HeardBasis.ESTIMATE, 0, began_us, path_us // 2, path_us)
        asyncio.get_running_loop().call_soon(self.report, *told)

    def _say_farewell(self) -> None:
        if self._farewell is not None and not self._queue and self._playing is None:
            asyncio.get_running_loop().call_soon(self._hung_up, self._farewell)
            self._farewell = None
