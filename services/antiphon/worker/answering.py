"""Does what the machine of turns wants done: the caller's turns are told, answered by the agent's code, and traced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from antiphon.turns import Cause
from antiphon.turns import actions as do
from antiphon.worker import data, metrics
from antiphon.worker.quality import TurnQuality
from antiphon.worker.reply import Reply
from antiphon.worker.tracing import Tracer, outcome_of
from antiphon.worker.turn import Turn

if TYPE_CHECKING:
    from antiphon.turns.actions import Action
    from antiphon.worker.call import Call, Hearing
    from antiphon.worker.latency import TurnTrace
    from antiphon.worker.transport import Transport

TurnHandler = Callable[[Turn], Awaitable[None]]
IdleHandler = Callable[[int], Awaitable[None] | None]
LateHandler = Callable[[], Awaitable[None] | None]

_IDLE_S = 10.0
_LATE_S = 1.5


class Answering:
    """Of one call: its turns, and the replies to them."""

    def __init__(self, call: Call, hearing: Hearing, transport: Transport) -> None:
        self.turn_handler: TurnHandler | None = None
        self.idle_handler: IdleHandler | None = None
        self.late_handler: LateHandler | None = None
        self.tracer = Tracer(call.info, transport, call.tell)
        self._call = call
        self._hearing = hearing
        self._turns = 0
        self._speculative = False
        self._ahead: Reply | None = None
        """The reply to a turn that only seems to be over."""
        self._replies: set[Reply] = set()

    # what the agent wants to be asked

    def listen(self, handler: TurnHandler, *, speculative: bool = False) -> None:
        self.turn_handler, self._speculative = handler, speculative
        self._call.ears.open()

    def on_idle(self, handler: IdleHandler) -> None:
        self.idle_handler = handler
        ears = self._call.ears
        ears.policy = replace(ears.policy, idle_s=ears.policy.idle_s or _IDLE_S)
        ears.open()

    def on_late(self, handler: LateHandler) -> None:
        self.late_handler = handler
        ears = self._call.ears
        ears.policy = replace(ears.policy, late_s=ears.policy.late_s or _LATE_S)
        ears.open()

    # what the machine of turns wants

    def act(self, action: Action) -> None:  # noqa: C901 - a line for each kind of action
        speaker = self._call.speaker
        match action:
            case do.TurnStarted():
                self._turn_started(action.began_s)
            case do.Tentative():
                self._think_ahead(action)
            case do.Withdrawn():
                self._withdraw(action)
            case do.Committed():
                self._commit(action)
            case do.Hold():
                speaker.doubt(True)
            case do.Resume():
                speaker.doubt(False)
                if speaker.is_held_by_edge:
                    speaker.release()
            case do.Release():
                speaker.release()
            case do.Flush():
                speaker.stop("interrupted")
            case do.Idle() if self.idle_handler is not None:
                self._call.tasks.handle(self.idle_handler, action.count)
            case do.AgentLate() if self.late_handler is not None:
                self._call.tasks.handle(self.late_handler)

    def _turn_started(self, began_s: float) -> None:
        for reply in self._replies:
            if reply.spoke and self._call.ears.interruptible:
                reply.lose("interrupted")
        metrics.TURNS.labels("started").inc()
        self._tell_turn(self._turns + 1, "started", began_s)

    def _think_ahead(self, action: do.Tentative) -> None:
        """The turn seems to be over: a speculative reply begins, and waits with what it says."""
        if self._speculative and self.turn_handler is not None:
            turn = self._turn(self._turns + 1, action.started_s, action.ended_s, asyncio.Event())
            self._ahead = self._reply(turn, self.turn_handler)

    def _withdraw(self, action: do.Withdrawn) -> None:
        """The turn was none. Where the caller went on, its audio is part of the turn that goes on."""
        metrics.WITHDRAWN.labels(action.cause.value).inc()
        if self._ahead is not None:
            self._ahead.withdraw()
            self._ahead = None
        number = self._turns + 1
        if action.committed:
            number = self._turns
            for reply in self._replies:
                if not reply.spoke:
                    reply.withdraw()
        if action.committed or action.cause is not Cause.WENT_ON:
            metrics.TURNS.labels("withdrawn").inc()
            self._tell_turn(number, "withdrawn", action.at_s)

    def _commit(self, action: do.Committed) -> None:
        self._turns += 1
        metrics.TURNS.labels("ended").inc()
        metrics.COMMITS.labels(action.reason.value).inc()
        self._tell_turn(self._turns, "ended", action.ended_s, audio_s=action.ended_s - action.started_s)
        self._call.succession.acknowledge()
        if self.turn_handler is None:
            self._call.ears.reply_over()
            return
        ahead, self._ahead = self._ahead, None
        for reply in self._replies:
            if reply is not ahead and (self._call.ears.interruptible or not reply.spoke):
                reply.cancel()
        if ahead is None:
            turn = self._turn(self._turns, action.started_s, action.ended_s)
            self._trace(turn, action)
            self._reply(turn, self.turn_handler)
        else:
            self._trace(ahead.turn, action)
            ahead.confirm()
            if ahead not in self._replies:
                self._traced(ahead, "silent")
                self._call.ears.reply_over()  # it had nothing to say

    def _tell_turn(self, number: int, state: str, at_s: float, *, audio_s: float | None = None) -> None:
        body = {"turn": number, "state": state, "atMs": data.milliseconds(at_s)}
        if audio_s is not None:
            body["audioMs"] = data.milliseconds(audio_s)
        self._call.tell("callerTurn", body)

    # replies

    def _turn(self, number: int, started_s: float, ended_s: float, commitment: asyncio.Event | None = None) -> Turn:
        stretch = self._call.ears.cut_out(started_s, ended_s)
        words = self._hearing.words(self._call.info.id, stretch)
        quality = TurnQuality.of(stretch.frames, self._call.keypad.packets_within(stretch.frames))
        partial = self._call.ears.partial(started_s, ended_s)
        return Turn(number, stretch.frames, started_s, ended_s, words, quality, commitment, partial)

    def _reply(self, turn: Turn, handler: TurnHandler) -> Reply:
        reply = Reply(turn)
        self._replies.add(reply)
        reply.task = self._call.tasks.spawn(self._reply_to(reply, handler), "turn", self._call.set_up.reply(turn.trace))
        return reply

    async def _reply_to(self, reply: Reply, handler: TurnHandler) -> None:
        try:
            with reply.current():
                await handler(reply.turn)
        finally:
            self._replies.discard(reply)
            self._traced(reply, outcome_of(reply, closed=self._call.closed.is_set()))
            if not self._replies:
                self._call.ears.reply_over()

    # latency

    def answered(self, trace: TurnTrace) -> None:
        """The answer to a turn is at the caller's ear."""
        for reply in tuple(self._replies):
            if reply.turn.trace is trace:
                self._traced(reply, "answered")

    def _trace(self, turn: Turn, commit: do.Committed) -> None:
        if self._call.ears.listener is not None:
            self.tracer.committed(turn, commit, self._call.ears.listener, self._call.quality.rtt_s)

    def _traced(self, reply: Reply, outcome: str) -> None:
        listener = None if self._call.closed.is_set() else self._call.ears.listener
        self.tracer.over(reply.turn, outcome, listener, self._hearing.traced)
