"""One session at the worker: joins what the edge tells (frames, reports, messages, the end) with the agent's code.

A call starts its agent, and ends when the caller leaves, the agent hangs up, has nothing left to do, or fails.
All of an agent's tasks carry the session's id in their names, and are cancelled at the end.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from antiphon.frames import CLOCK_RATE, TELEPHONE_EVENT, Frame, Gap, VoiceHint
from antiphon.telemetry import get_logger
from antiphon.turns import Cause, TurnPolicy, VoiceDetector
from antiphon.turns import actions as do
from antiphon.turns.evidence import AgentEnds, AgentStarts, Hint, ReplyEnded
from antiphon.worker import data, metrics
from antiphon.worker.audio import Audio, packets
from antiphon.worker.dtmf import PATIENCE_S, Dtmf, Keypad
from antiphon.worker.listening import Listener, gap_wait_s
from antiphon.worker.quality import Quality, TurnQuality
from antiphon.worker.reply import Reply, current_reply
from antiphon.worker.speaker import Said, Speaker, Utterance
from antiphon.worker.trace_file import TraceRecorder
from antiphon.worker.tracing import Tracer, outcome_of
from antiphon.worker.turn import Turn
from antiphon.worker.turn_taking import TurnTaking

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon.turns.actions import Action
    from antiphon.worker.audio import Packet
    from antiphon.worker.ingest import Reader
    from antiphon.worker.latency import TurnTrace
    from antiphon.worker.stretch import Stretch
    from antiphon.worker.transport import CallInfo, Transport

MessageHandler = Callable[[Any], Awaitable[None] | None]
DataHandler = Callable[[str, bytes, bool], Awaitable[None] | None]
TurnHandler = Callable[[Turn], Awaitable[None]]
DtmfHandler = Callable[[Dtmf], Awaitable[None] | None]
IdleHandler = Callable[[int], Awaitable[None] | None]
LateHandler = Callable[[], Awaitable[None] | None]

_UNSENT_MESSAGES = 64
_MOST_TASKS = 256
_IDLE_S = 10.0
_LATE_S = 1.5
_log = get_logger("worker")


@dataclass(frozen=True, slots=True)
class Hearing:
    """How calls find turns: made once for a process, replaced in simulations."""

    voice: VoiceDetector
    policy: TurnPolicy = field(default_factory=TurnPolicy)
    words: Callable[[str, Stretch], str | None] = lambda _session, _stretch: None
    """Recognises the words of a session's turn."""
    traced: Callable[[CallInfo, TurnTrace, dict[str, Any]], None] = lambda _info, _trace, _document: None
    """Takes the latency trace of each turn, as it is and as the API gives it."""


class Call:
    def __init__(self, info: CallInfo, transport: Transport, hearing: Hearing, ended: Callable[[Call], None]) -> None:
        self.info = info
        self.log = _log.bind(session=info.id, agent=info.agent)
        self.speaker = Speaker(transport, self._tell_utterance, self._speaks, self._answered)
        self.closed = asyncio.Event()
        self.error: BaseException | None = None
        self.turn_handler: TurnHandler | None = None
        self.message_handler: MessageHandler | None = None
        self.data_handler: DataHandler | None = None
        self.dtmf_handler: DtmfHandler | None = None
        self.idle_handler: IdleHandler | None = None
        self.late_handler: LateHandler | None = None
        self.listener: Listener | None = None
        self.turn_policy = hearing.policy
        """As the agent wants it; what is protected makes it stricter for a while."""
        self.turns = TurnTaking(self)
        self.quality = Quality()
        self._tracer = Tracer(info, transport, self.tell)
        self._transport = transport
        self._hearing = hearing
        self._ended = ended
        self._readers: list[weakref.ref[Reader]] = []  # one that the agent dropped is dropped here, too
        self._keypad = Keypad()
        self._key_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._connected = asyncio.Event()
        self._unsent: list[tuple[str, bytes, bool]] = []
        self._turns = 0
        self._speculative = False
        self._ahead: Reply | None = None
        """The reply to a turn that only seems to be over."""
        self._replies: set[Reply] = set()
        self._reason: str | None = None
        self._protection: object | None = None
        self._edge_may_hold = False

    # what the edge tells

    def connected(self) -> None:
        if self._connected.is_set() or self.closed.is_set():
            return
        self._connected.set()
        info = self.info
        started = {"session": info.id, "agent": info.agent, "worker": info.worker, "edge": info.edge}
        self._transport.send_data(data.LABEL, data.server_message("sessionStarted", started), binary=False)
        for label, payload, binary in self._unsent:
            self._transport.send_data(label, payload, binary=binary)
        self._unsent.clear()

    async def wait_connected(self) -> None:
        await self._connected.wait()

    def hear(self, frame: Frame) -> None:
        if not self._connected.is_set():
            self.connected()  # media and control are streams of their own: a frame may come first
        if frame.flags & TELEPHONE_EVENT:
            self._press(frame)
            return
        self._keypad.begin(frame.timestamp)
        for reader in self._listening():
            reader.put(frame)
        if self.listener is not None:
            self.listener.hear(frame)

    def noticed(self, hint: VoiceHint) -> None:
        """The edge noticed that the caller speaks or has stopped. It is judged by whether a turn comes of it."""
        if self.listener is None or self.closed.is_set():
            return
        if hint.onset and hint.held:
            self.speaker.held_by_edge()
        self.listener.tell(Hint(self.listener.now_s, hint.onset, hint.held))

    def miss(self, gap: Gap) -> None:
        metrics.MISSING.labels("lost" if gap.lost else "announced").inc(gap.missing)
        for reader in self._listening():
            reader.put_gap(gap)
        if self.listener is not None:
            self.listener.miss(gap)

    def measured(self, quality: Quality) -> None:
        quality.count_since(self.quality)
        self.quality = quality

    def gap_wait_s(self) -> float:
        """For how long a gap is waited for, at most: about a round trip, within the policy's bound."""
        return gap_wait_s(self.turn_policy, self.quality.rtt_s)

    def _press(self, frame: Frame) -> None:
        """A packet of a key. If it was missing, nobody need wait for it any more."""
        if self._key_timer is not None:
            self._key_timer.cancel()
            self._key_timer = None
        self._tell_keys(self._keypad.hear(frame))
        if self._keypad.pressed:
            loop = asyncio.get_running_loop()
            self._key_timer = loop.call_later(PATIENCE_S, lambda: self._tell_keys(self._keypad.let_go()))
        if frame.repaired:
            nothing = Gap(frame.sequence, 1, lost=True)
            for reader in self._listening():
                reader.put_gap(nothing)
            if self.listener is not None:
                self.listener.miss(nothing)

    def _tell_keys(self, keys: list[Dtmf]) -> None:
        for key in keys:
            if self.dtmf_handler is None:
                metrics.dropped("dtmf", "no_handler")
            else:
                self._handle(self.dtmf_handler, key)

    def receive(self, label: str, payload: bytes, *, binary: bool) -> None:
        """A data-channel message of the caller."""
        if label != data.LABEL:
            if self.data_handler is None:
                metrics.dropped("message", "no_handler")
            else:
                self._handle(self.data_handler, label, payload, binary)
            return
        try:
            kind, body = data.parse_client_message(payload)
        except data.BadMessageError as error:
            metrics.dropped("message", "malformed")
            self.log.warning("message refused", error=str(error), size=len(payload))
            return
        if kind == "bye":
            self.hang_up("bye", after_playout=False)
        elif kind == "turn":
            self.turns.obey(body)
        elif self.message_handler is None:
            metrics.dropped("message", "no_handler")
        else:
            self._handle(self.message_handler, body)

    def close(self, reason: str) -> None:
        """The session is over: the caller left, or its link is gone."""
        if self.closed.is_set():
            return
        self.closed.set()
        self.speaker.close()
        if self._key_timer is not None:
            self._key_timer.cancel()
        if self.listener is not None:
            self.listener.close()
        for reader in self._listening():
            reader.close()
        for task in self._tasks:
            task.cancel()
        reason = self._reason or reason
        metrics.SESSIONS_ENDED.labels(_bounded(reason)).inc()
        self.log.info("session ended", reason=reason)
        self._ended(self)

    async def wait_tasks(self) -> None:
        """Returns when no code of the agent runs any more."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    # what the agent does

    def start(self, agent: Coroutine[Any, Any, None]) -> None:
        self._spawn(self._run(agent), "agent")

    @property
    def interruptible(self) -> bool:
        """Whether the caller's voice may hold and cut what is being said."""
        return self.turn_policy.interruptions != "never" and self._protection is None

    def apply_policy(self) -> None:
        """Tells the listener and the edge what they may do by themselves, where that has changed."""
        if self.closed.is_set():
            return
        if self.listener is not None:
            protected = self._protection is not None
            self.listener.policy = replace(self.turn_policy, interruptions="never") if protected else self.turn_policy
        may_hold = self.listener is not None and self.interruptible
        if may_hold != self._edge_may_hold:
            self._edge_may_hold = may_hold
            self._transport.set_policy(hold_on_voice=may_hold)

    def _protect(self, what: object | None) -> None:
        self._protection = what
        self.apply_policy()

    async def say(self, audio: Audio, rate: int | None, *, protected: bool = False) -> Said:
        await self._connected.wait()
        reply = current_reply()
        if reply is None:
            return await self._say(packets(audio, rate), lambda: None, protected=protected)
        async with reply.ready(packets(audio, rate)) as ready:
            return await self._say(ready, reply.take_floor, reply.turn.trace, protected=protected)

    async def _say(
        self,
        spoken: AsyncIterator[Packet],
        may_speak: Callable[[], str | None],
        trace: TurnTrace | None = None,
        *,
        protected: bool,
    ) -> Said:
        if not protected:
            return await self.speaker.say(spoken, may_speak, trace)
        protection = object()

        def take_floor() -> str | None:
            reason = may_speak()
            if reason is None:
                self._protect(protection)
            return reason

        try:
            return await self.speaker.say(spoken, take_floor, trace)
        finally:
            if self._protection is protection:
                self._protect(None)

    def _speaks(self, begins: bool) -> None:  # noqa: FBT001 - as the speaker tells it
        if self.listener is not None and not self.closed.is_set():
            now_s = self.listener.now_s
            self.listener.tell(AgentStarts(now_s) if begins else AgentEnds(now_s))

    def read(self, reader: Reader) -> None:
        if self.closed.is_set():
            reader.close()
        else:
            self._readers.append(weakref.ref(reader, self._readers.remove))

    def _listening(self) -> list[Reader]:
        return [reader for ref in tuple(self._readers) if (reader := ref()) is not None]

    def listen(self, handler: TurnHandler, *, speculative: bool = False) -> None:
        self.turn_handler, self._speculative = handler, speculative
        self._open_ears()

    def on_idle(self, handler: IdleHandler) -> None:
        self.idle_handler = handler
        self.turn_policy = replace(self.turn_policy, idle_s=self.turn_policy.idle_s or _IDLE_S)
        self._open_ears()

    def on_late(self, handler: LateHandler) -> None:
        self.late_handler = handler
        self.turn_policy = replace(self.turn_policy, late_s=self.turn_policy.late_s or _LATE_S)
        self._open_ears()

    def _open_ears(self) -> None:
        if self.listener is None and not self.closed.is_set():
            self.listener = Listener(self._hearing.voice, self.turn_policy, self._act, self.gap_wait_s)
        self.apply_policy()

    def record_turns(self, path: Path) -> None:
        """To be replayed: see `antiphon.turns.replay`."""
        self._open_ears()
        if self.listener is not None:
            self.listener.recorder = TraceRecorder(path, self.listener.policy)

    def send_data(self, label: str, payload: bytes, *, binary: bool) -> None:
        if len(payload) > data.MOST_BYTES:
            raise ValueError(f"a message of {len(payload)} bytes: a data channel takes {data.MOST_BYTES} at most")
        if self.closed.is_set():
            metrics.dropped("message", "closed")
        elif self._connected.is_set():
            self._transport.send_data(label, payload, binary=binary)
        elif len(self._unsent) < _UNSENT_MESSAGES:
            self._unsent.append((label, payload, binary))
        else:
            metrics.dropped("message", "not_connected")

    def mute(self, muted: bool) -> None:  # noqa: FBT001
        if not self.closed.is_set():
            self._transport.mute(muted)

    def tell(self, kind: str, body: dict[str, Any]) -> None:
        self.send_data(data.LABEL, data.server_message(kind, body), binary=False)

    def hang_up(self, reason: str, *, after_playout: bool) -> None:
        if self._reason is None and not self.closed.is_set():
            self._reason = reason
            self.tell("sessionEnded", {"reason": reason})
            self._transport.hang_up(reason, after_playout=after_playout)

    # turns

    def _act(self, action: Action) -> None:  # noqa: C901 - a line for each kind of action
        """Does what the machine of turns wants done."""
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
                self.speaker.doubt(True)
            case do.Resume():
                self.speaker.doubt(False)
                if self.speaker.is_held_by_edge:
                    self.speaker.release()
            case do.Release():
                self.speaker.release()
            case do.Flush():
                self.speaker.stop("interrupted")
            case do.Idle() if self.idle_handler is not None:
                self._handle(self.idle_handler, action.count)
            case do.AgentLate() if self.late_handler is not None:
                self._handle(self.late_handler)

    def _turn_started(self, began_s: float) -> None:
        for reply in self._replies:
            if reply.spoke and self.interruptible:
                reply.lose("interrupted")
        metrics.TURNS.labels("started").inc()
        self.tell("callerTurn", {"turn": self._turns + 1, "state": "started", "atMs": _ms(began_s)})

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
            self.tell("callerTurn", {"turn": number, "state": "withdrawn", "atMs": _ms(action.at_s)})

    def _commit(self, action: do.Committed) -> None:
        self._turns += 1
        metrics.TURNS.labels("ended").inc()
        metrics.COMMITS.labels(action.reason.value).inc()
        audio_ms = _ms(action.ended_s - action.started_s)
        body = {"turn": self._turns, "state": "ended", "atMs": _ms(action.ended_s), "audioMs": audio_ms}
        self.tell("callerTurn", body)
        if self.turn_handler is None:
            self._reply_over()
            return
        ahead, self._ahead = self._ahead, None
        for reply in self._replies:
            if reply is not ahead and (self.interruptible or not reply.spoke):
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
                self._reply_over()  # it had nothing to say

    def _turn(self, number: int, started_s: float, ended_s: float, commitment: asyncio.Event | None = None) -> Turn:
        if self.listener is None:
            raise RuntimeError("a turn without a listener")
        stretch = self.listener.cut_out(started_s, ended_s)
        words = self._hearing.words(self.info.id, stretch)
        quality = TurnQuality.of(stretch.frames, self._keypad.packets_within(stretch.frames))
        return Turn(number, stretch.frames, started_s, ended_s, words, quality, commitment)

    def _reply(self, turn: Turn, handler: TurnHandler) -> Reply:
        reply = Reply(turn)
        self._replies.add(reply)
        reply.task = self._spawn(self._reply_to(reply, handler), "turn")
        return reply

    async def _reply_to(self, reply: Reply, handler: TurnHandler) -> None:
        try:
            with reply.current():
                await handler(reply.turn)
        finally:
            self._replies.discard(reply)
            self._traced(reply, outcome_of(reply, closed=self.closed.is_set()))
            if not self._replies:
                self._reply_over()

    # latency

    def _trace(self, turn: Turn, commit: do.Committed) -> None:
        if self.listener is not None:
            self._tracer.committed(turn, commit, self.listener, self.quality.rtt_s)

    def _answered(self, trace: TurnTrace) -> None:
        for reply in tuple(self._replies):
            if reply.turn.trace is trace:
                self._traced(reply, "answered")

    def _traced(self, reply: Reply, outcome: str) -> None:
        listener = None if self.closed.is_set() else self.listener
        self._tracer.over(reply.turn, outcome, listener, self._hearing.traced)

    def _reply_over(self) -> None:
        """The agent has nothing more to say for now."""
        if self.listener is not None:
            self.listener.tell(ReplyEnded(self.listener.now_s))

    def _tell_utterance(self, utterance: Utterance, state: str) -> None:
        heard, length = (_ms(ticks / CLOCK_RATE) for ticks in (utterance.heard, utterance.length))
        body = {"utterance": utterance.number, "state": state, "heardMs": heard, "lengthMs": length}
        self.tell("agentUtterance", body)

    # tasks

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"{self.info.id}/{what}")
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(error, task.get_name().rpartition("/")[2])

    def fail(self, error: BaseException, where: str) -> None:
        """Ends this session, and only this one, for an exception in its code."""
        if not self.closed.is_set():
            self.error = error
            metrics.AGENT_ERRORS.labels(self.info.agent).inc()
            self.log.error("agent failed", task=where, exc_info=error)
            self.hang_up("error", after_playout=False)

    def _handle(self, handler: Callable[..., Awaitable[None] | None], *arguments: object) -> None:
        if len(self._tasks) >= _MOST_TASKS:
            metrics.dropped("message", "agent_slow")
            return
        self._spawn(_call(handler, *arguments), "message")

    async def _run(self, agent: Coroutine[Any, Any, None]) -> None:
        await agent
        handlers = (
            self.turn_handler, self.message_handler, self.data_handler, self.dtmf_handler, self.idle_handler
        )  # fmt: skip
        if not any(handlers):
            self.hang_up("hangup", after_playout=True)  # nothing of the agent is left that could act


async def _call(handler: Callable[..., Awaitable[None] | None], *arguments: object) -> None:
    result = handler(*arguments)
    if result is not None:
        await result


def parse_metadata(text: str) -> dict[str, object]:
    """Returns the application's JSON object; empty when there is none."""
    try:
        metadata = json.loads(text) if text else {}
    except RecursionError as error:
        raise ValueError("metadata is nested too deep") from error
    if not isinstance(metadata, dict):
        raise ValueError("metadata is no JSON object")  # noqa: TRY004 - what came is wrong, not our types
    return metadata


_REASONS = frozenset(
    {"bye", "hangup", "api", "moved", "drain", "consent", "timeout", "dtls", "error", "worker", "edge"}
)


def _bounded(reason: str) -> str:
    return reason if reason in _REASONS else "other"


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
