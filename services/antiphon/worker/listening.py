"""Listens to one caller: has what it says judged, tells the machine of turns, and lets time pass for it.

The machine (`antiphon.turns`) decides; what it wants done goes to `act`, but for its questions to the models, which
are asked here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from antiphon.turns import State, TurnPolicy, advance, wake_s
from antiphon.turns.actions import AskEnd, AskKind, Committed
from antiphon.turns.evidence import Clock, EndAnswer, KindAnswer, Missing, Window
from antiphon.turns.states import (
    Awaiting,
    Contested,
    Ignored,
    Onset,
    Open,
    Paused,
    Quiet,
    Talking,
    Tentative,
    Thinking,
)
from antiphon.worker import metrics
from antiphon.worker.last_sound import last_sound
from antiphon.worker.session_clock import SessionClock
from antiphon.worker.stretch import Reel, Stretch, arrival_us

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from antiphon.frames import Frame, Gap
    from antiphon.turns.actions import Action
    from antiphon.turns.evidence import Evidence
    from antiphon.turns.voice import Kind, VoiceDetector
    from antiphon.worker.trace_file import TraceRecorder

_USUAL_RTT_S = 0.1
_GAP_MARGIN_S = 0.02
_WORD_S = 0.2
"""What is shorter is no word that a recogniser would know."""
_EARLIER_S = 0.001
"""A timer that is due so much earlier is worth setting anew."""


def gap_wait_s(policy: TurnPolicy, rtt_s: float | None) -> float:
    """For how long missing frames are waited for: a round trip and a little, within the policy's bound."""
    return min(policy.gap_wait_s, (_USUAL_RTT_S if rtt_s is None else rtt_s) + _GAP_MARGIN_S)


class Listener:
    """Belongs to the event loop. `act(action)` is called in order; what it tells in turn is taken after that."""

    def __init__(
        self,
        voice: VoiceDetector,
        policy: TurnPolicy,
        act: Callable[[Action], None],
        wait_s: Callable[[], float] = lambda: 0.0,
        overhear: Callable[[float, float], None] = lambda _started_s, _ended_s: None,
    ) -> None:
        """`overhear(started_s, ended_s)`: the words of that stretch would be worth knowing."""
        self._overhear = overhear
        self.recorder: TraceRecorder | None = None
        """Writes down what the machine is told, where that is wanted."""
        self._policy = policy
        self._act = act
        self._wait_s = wait_s
        self._state = State()
        self._reel = Reel()
        self._clock = SessionClock()
        self._edge_clock = SessionClock()
        self._received_s = 0.0
        """Session time at which the last frame came."""
        self._told: deque[Evidence] = deque()
        self._busy = False
        self._closed = False
        self._gap_outcome = "repaired"
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        """When it is due, on the loop's clock: uvloop's handle of what is due already does not tell."""
        self._stream = voice.open(self._judged)

    # what comes

    def hear(self, frame: Frame) -> None:
        loop_s = asyncio.get_running_loop().time()
        first = not self._reel.begun
        self._reel.keep(frame)
        audio_s = self._reel.seconds(frame.timestamp + frame.duration)
        self._clock.sync(loop_s, audio_s)
        if not frame.repaired:
            self._edge_clock.sync(frame.arrival_us / 1e6, audio_s)
        self._received_s = self.now_s
        self._stream.push(frame)
        self._count_missing("repaired")
        if first:
            self._pass()  # session time begins
        if isinstance(self._state.caller, Quiet):
            self._forget()

    def miss(self, gap: Gap) -> None:
        self._reel.miss(gap)
        self._count_missing("lost")

    def tell(self, evidence: Evidence) -> None:
        """Moves the machine on. What an action tells while it is carried out comes after it."""
        if self._closed:
            return
        self._told.append(evidence)
        if self._busy:
            return
        self._busy = True
        try:
            while self._told:
                self._step(self._told.popleft())
        finally:
            self._busy = False
        self._set_timer()

    # what is known

    @property
    def now_s(self) -> float:
        """Session time."""
        return self._clock.at(asyncio.get_running_loop().time())

    @property
    def state(self) -> State:
        return self._state

    @property
    def policy(self) -> TurnPolicy:
        return self._policy

    @policy.setter
    def policy(self, policy: TurnPolicy) -> None:
        """Counts at once, for what is under way too."""
        if policy != self._policy:
            self._policy = policy
            if self.recorder is not None:
                self.recorder.policy(policy)
            self._pass()

    def cut_out(self, started_s: float, ended_s: float) -> Stretch:
        """The audio of a turn that the machine has just told."""
        return self._reel.cut_out(started_s, ended_s)

    def when(self, session_s: float) -> float:
        """The event loop's time at a session second."""
        return self._clock.when(session_s)

    def at_the_edge(self, session_s: float, frames: Sequence[Frame]) -> tuple[float, float]:
        """When a moment of the caller's audio could have come to the edge at the earliest, and when it did.

        Seconds of the edge's clock. The first is the caller's own time and the network's least delay.
        """
        earliest = self._edge_clock.when(session_s)
        came_us = arrival_us(frames, self._reel.tick(session_s))
        return earliest, earliest if came_us is None else max(earliest, came_us / 1e6)

    def last_sound_s(self, frames: Sequence[Frame], until_s: float) -> float:
        """The session second of the last sound in these frames before `until_s`."""
        return self._reel.seconds(last_sound(frames, self._reel.tick(until_s)))

    @property
    def needed(self) -> int:
        """The tick of the first frame that may still become part of a turn, or is of one that is not answered yet."""
        return self._reel.needed(min(_needed_since_s(self._state), self._received_s))

    def close(self) -> None:
        self._closed = True
        self._stream.close()
        if self._timer is not None:
            self._timer.cancel()
        if self.recorder is not None:
            self.recorder.close()

    # inside

    def _judged(self, start: int, end: int, probability: float) -> None:
        caller = self._state.caller
        if isinstance(caller, Quiet) and caller.aside is None and probability < self._policy.voice:
            return  # nothing comes of it, and an idle session should cost nothing
        self.tell(Window(self.now_s, self._reel.seconds(start), self._reel.seconds(end), probability))

    def _step(self, evidence: Evidence) -> None:
        awaited = isinstance(self._state.caller, Awaiting) and self._state.missing_wait_s > 0
        self._state, actions = advance(self._state, self._policy, evidence)
        if self.recorder is not None:
            self.recorder.step(evidence, actions)
        for action in actions:
            match action:
                case AskEnd():
                    self._ask_end(action.at_s)
                    self._ask_words()
                case AskKind():
                    self._ask_kind(action)
                    self._ask_words()
                case Committed() if awaited:
                    metrics.GAP_WAITS.labels(self._gap_outcome).inc()
                    self._act(action)
                case _:
                    self._act(action)

    def _ask_end(self, asked_s: float) -> None:
        def answered(probability: float | None) -> None:
            metrics.END_ANSWERS.labels("none" if probability is None else "answered").inc()
            self.tell(EndAnswer(self.now_s, asked_s, probability))

        self._stream.ask_end(answered)

    def _ask_kind(self, ask: AskKind) -> None:
        def answered(kind: Kind | None) -> None:
            metrics.KIND_ANSWERS.labels("none" if kind is None else kind.value).inc()
            self.tell(KindAnswer(self.now_s, ask.at_s, kind))

        self._stream.ask_kind(self._reel.tick(ask.since_s), answered)

    def _ask_words(self) -> None:
        """Of the turn, or the sound over the agent's voice, if it is long enough for a word."""
        caller = self._state.caller
        match caller:
            case Contested() | Ignored():
                started_s, ended_s = caller.since_s, caller.voice_s
            case Paused() | Tentative():
                started_s, ended_s = caller.turn.started_s, caller.turn.voice_s
            case _:
                return
        if ended_s - started_s >= _WORD_S and not self._reel.missing(started_s, ended_s):
            self._overhear(started_s, ended_s)

    def _count_missing(self, outcome: str) -> None:
        caller = self._state.caller
        if not isinstance(caller, Open):
            return
        frames = self._reel.missing(caller.turn.started_s, caller.turn.voice_s)
        if frames != self._state.missing:
            if self._state.missing and not frames:
                self._gap_outcome = outcome
            elif frames:
                self._gap_outcome = "timeout"
            self.tell(Missing(self.now_s, frames, self._wait_s()))

    def _forget(self) -> None:
        self._reel.forget(min(_needed_since_s(self._state), self._received_s))

    def _set_timer(self) -> None:
        wake = None if self._closed else wake_s(self._state, self._policy)
        if wake is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, wake - self.now_s)
        if self._timer is not None:
            # One that comes too early looks again: cheaper than a new one for each frame.
            if not self._timer.cancelled() and self._timer_at <= at + _EARLIER_S:
                return
            self._timer.cancel()
        self._timer, self._timer_at = loop.call_at(at, self._wake), at

    def _wake(self) -> None:
        self._timer = None
        wake = wake_s(self._state, self._policy)
        if wake is not None and wake > self.now_s + _EARLIER_S:
            self._set_timer()
        else:
            self._pass()

    def _pass(self) -> None:
        self.tell(Clock(self.now_s, self._received_s))


def _needed_since_s(state: State) -> float:
    """From when on frames may still become part of a turn."""
    caller, agent = state.caller, state.agent
    needed_s = float("inf")
    match caller:
        case Quiet() if caller.aside is not None:
            needed_s = caller.aside.since_s
        case Onset() | Contested() | Ignored():
            needed_s = caller.since_s
        case Talking() | Paused() | Tentative() | Awaiting():
            needed_s = caller.turn.started_s
    if isinstance(agent, Thinking) and agent.turn is not None:
        needed_s = min(needed_s, agent.turn.started_s)
    return needed_s
