"""One session at the worker: joins what the edge tells (frames, reports, messages, the end) with the agent's code.

A call starts its agent, and ends when the caller leaves, the agent hangs up, has nothing left to do, or fails.
All of an agent's tasks carry the session's id in their names, and are cancelled at the end.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from antiphon.frames import CLOCK_RATE, TELEPHONE_EVENT, Frame, Gap, VoiceHint
from antiphon.telemetry import get_logger
from antiphon.turns import TurnDetector, TurnPolicy, VoiceDetector
from antiphon.worker import data, metrics
from antiphon.worker.audio import Audio, packets
from antiphon.worker.dtmf import PATIENCE_S, Dtmf, Keypad
from antiphon.worker.listening import Listener, Stretch, gap_wait_s
from antiphon.worker.quality import Quality, TurnQuality
from antiphon.worker.speaker import Said, Speaker, Utterance
from antiphon.worker.turn import Turn

if TYPE_CHECKING:
    from antiphon.worker.ingest import Reader
    from antiphon.worker.transport import CallInfo, Transport

MessageHandler = Callable[[Any], Awaitable[None] | None]
DataHandler = Callable[[str, bytes, bool], Awaitable[None] | None]
TurnHandler = Callable[[Turn], Awaitable[None]]
DtmfHandler = Callable[[Dtmf], Awaitable[None] | None]

_UNSENT_MESSAGES = 64
_DOUBT_S = 0.1
_MOST_TASKS = 256
_log = get_logger("worker")


@dataclass(eq=False, slots=True)
class Reply:
    """The agent's answer to a turn. Once it lost the floor, nothing more of it is said."""

    turn: Turn
    spoke: bool = False
    lost: str | None = None
    task: asyncio.Task[None] | None = None

    def take_floor(self) -> str | None:
        """Returns why it may not speak, or None."""
        self.spoke = self.spoke or self.lost is None
        return self.lost


def _free_floor() -> None:
    """Speech outside of replies may always be said."""


_reply: ContextVar[Reply | None] = ContextVar("reply", default=None)


@dataclass(frozen=True, slots=True)
class Hearing:
    """How calls find turns: made once for a process, replaced in simulations."""

    voice: VoiceDetector
    policy: TurnPolicy = field(default_factory=TurnPolicy)
    words: Callable[[str, Stretch], str | None] = lambda _session, _stretch: None
    """Recognises the words of a session's turn."""


class Call:
    def __init__(self, info: CallInfo, transport: Transport, hearing: Hearing, ended: Callable[[Call], None]) -> None:
        self.info = info
        self.log = _log.bind(session=info.id, agent=info.agent)
        self.speaker = Speaker(transport, self._tell_utterance)
        self.closed = asyncio.Event()
        self.error: BaseException | None = None
        self.turn_handler: TurnHandler | None = None
        self.message_handler: MessageHandler | None = None
        self.data_handler: DataHandler | None = None
        self.dtmf_handler: DtmfHandler | None = None
        self.quality = Quality()
        self._transport = transport
        self._hearing = hearing
        self._ended = ended
        self._readers: list[weakref.ref[Reader]] = []  # one that the agent dropped is dropped here, too
        self._listener: Listener | None = None
        self._keypad = Keypad()
        self._key_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._connected = asyncio.Event()
        self._unsent: list[tuple[str, bytes, bool]] = []
        self._turns = 0
        self._withdrawn: Stretch | None = None
        self._replies: set[Reply] = set()
        self._reason: str | None = None
        self.interruptions = True
        self._protection: object | None = None
        self._policy = False
        self._judgement: asyncio.TimerHandle | None = None

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
        if self._listener is not None:
            self._listener.hear(frame)

    def noticed(self, hint: VoiceHint) -> None:
        """The edge noticed that the caller speaks or has stopped. It is judged by whether a turn comes of it."""
        if self._listener is None or self.closed.is_set():
            return
        self._listener.expect_voice(hint.onset)
        if not hint.onset:
            return
        if hint.held:
            self.speaker.held_by_edge()
        if not self.interruptible:
            self.speaker.release()
        elif self._judgement is None:
            self._judge_in(self._hearing.policy.confirm_s)

    def _judge_in(self, seconds: float) -> None:
        self._judgement = asyncio.get_running_loop().call_later(seconds, self._judge)

    def _judge(self) -> None:
        """A turn has cut what the edge held; if there is none by now, it was no voice."""
        self._judgement = None
        if self._listener is None or self.closed.is_set():
            return
        if self._listener.in_doubt:
            self._judge_in(_DOUBT_S)
        elif self.speaker.is_held_by_edge or not self._listener.talking:
            self._listener.expect_voice(False)
            self.speaker.release()

    def miss(self, gap: Gap) -> None:
        metrics.MISSING.labels("lost" if gap.lost else "announced").inc(gap.missing)
        for reader in self._listening():
            reader.put_gap(gap)
        if self._listener is not None:
            self._listener.miss(gap)

    def measured(self, quality: Quality) -> None:
        quality.count_since(self.quality)
        self.quality = quality

    def gap_wait_s(self) -> float:
        """For how long a gap is waited for, at most: about a round trip, within the policy's bound."""
        return gap_wait_s(self._hearing.policy, self.quality.rtt_s)

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
            if self._listener is not None:
                self._listener.miss(nothing)

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
        if self._listener is not None:
            self._listener.close()
        if self._judgement is not None:
            self._judgement.cancel()
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
        return self.interruptions and self._protection is None

    def apply_policy(self) -> None:
        """Tells the edge what it may do by itself, where that has changed."""
        policy = self._listener is not None and self.interruptible
        if policy != self._policy and not self.closed.is_set():
            self._policy = policy
            self._transport.set_policy(hold_on_voice=policy)

    def _protect(self, what: object | None) -> None:
        self._protection = what
        self.apply_policy()

    def _doubt(self, begins: bool) -> None:  # noqa: FBT001 - as the listener tells it
        if self.interruptible or not begins:
            self.speaker.doubt(begins)

    async def say(self, audio: Audio, rate: int | None, *, protected: bool = False) -> Said:
        await self._connected.wait()
        reply = _reply.get()
        may_speak = reply.take_floor if reply is not None else _free_floor
        if not protected:
            return await self.speaker.say(packets(audio, rate), may_speak)
        protection = object()

        def take_floor() -> str | None:
            reason = may_speak()
            if reason is None:
                self._protect(protection)
            return reason

        try:
            return await self.speaker.say(packets(audio, rate), take_floor)
        finally:
            if self._protection is protection:
                self._protect(None)

    def read(self, reader: Reader) -> None:
        if self.closed.is_set():
            reader.close()
        else:
            self._readers.append(weakref.ref(reader, self._readers.remove))

    def _listening(self) -> list[Reader]:
        return [reader for ref in tuple(self._readers) if (reader := ref()) is not None]

    def listen(self, handler: TurnHandler) -> None:
        self.turn_handler = handler
        if self._listener is None and not self.closed.is_set():
            detector = TurnDetector(self._hearing.policy)
            self._listener = Listener(
                self._hearing.voice, detector, self._turn_started, self._turn_ended, self._doubt, self.gap_wait_s
            )
            self.apply_policy()

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

    def _turn_started(self, at_s: float) -> None:
        for reply in tuple(self._replies):
            if reply.spoke:
                reply.lost = reply.lost or ("interrupted" if self.interruptible else None)
            elif reply.lost is None:
                self._withdraw(reply)
        if self.interruptible:
            self.speaker.stop("interrupted")
        metrics.TURNS.labels("started").inc()
        self.tell("callerTurn", {"turn": self._turns + 1, "state": "started", "atMs": _ms(at_s)})

    def _withdraw(self, reply: Reply) -> None:
        """The caller went on before the agent said a word: the turn was none; its audio joins the next one."""
        reply.lost = "withdrawn"
        if reply.task is not None:
            reply.task.cancel()
        turn = reply.turn
        self._withdrawn = Stretch(turn.audio, turn.started, turn.ended)
        metrics.TURNS.labels("withdrawn").inc()
        self.tell("callerTurn", {"turn": turn.number, "state": "withdrawn", "atMs": _ms(turn.started)})

    def _turn_ended(self, stretch: Stretch) -> None:
        if self._withdrawn is not None:
            before, self._withdrawn = self._withdrawn, None
            behind = before.frames[-1].sequence if before.frames else -1
            frames = before.frames + tuple(frame for frame in stretch.frames if frame.sequence > behind)
            stretch = Stretch(frames, before.started_s, stretch.ended_s)
        self._turns += 1
        words = self._hearing.words(self.info.id, stretch)
        quality = TurnQuality.of(stretch.frames, self._keypad.packets_within(stretch.frames))
        turn = Turn(self._turns, stretch.frames, stretch.started_s, stretch.ended_s, words, quality)
        metrics.TURNS.labels("ended").inc()
        body = {"turn": turn.number, "state": "ended", "atMs": _ms(turn.ended), "audioMs": _ms(turn.seconds)}
        self.tell("callerTurn", body)
        if self.turn_handler is not None:
            for reply in tuple(self._replies):
                if reply.task is not None and (self.interruptible or not reply.spoke):
                    reply.task.cancel()
            reply = Reply(turn)
            self._replies.add(reply)
            reply.task = self._spawn(self._reply_to(reply, self.turn_handler), "turn")

    async def _reply_to(self, reply: Reply, handler: TurnHandler) -> None:
        _reply.set(reply)
        try:
            await handler(reply.turn)
        finally:
            self._replies.discard(reply)

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
        handlers = (self.turn_handler, self.message_handler, self.data_handler, self.dtmf_handler)
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
