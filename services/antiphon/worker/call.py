"""One session at the worker: joins what the edge tells (frames, reports, messages, the end) with the agent's code.

A call starts its agent, and ends when the caller leaves, the agent hangs up, has nothing left to do, or fails.
All of an agent's tasks carry the session's id in their names, and are cancelled at the end. How it listens is ears.py's
business, what becomes of turns answering.py's.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from antiphon.frames import CLOCK_RATE, TELEPHONE_EVENT, Frame, Gap, VoiceHint
from antiphon.telemetry import get_logger
from antiphon.turns import TurnPolicy, VoiceDetector
from antiphon.worker import data, metrics
from antiphon.worker.answering import Answering
from antiphon.worker.audio import Audio, packets
from antiphon.worker.dtmf import Dtmf, Keypad, Keys
from antiphon.worker.ears import Ears
from antiphon.worker.legs import Legs, Nowhere
from antiphon.worker.quality import Quality
from antiphon.worker.reply import current_reply
from antiphon.worker.spans import SetUp
from antiphon.worker.speaker import Speaker
from antiphon.worker.succession import Succession
from antiphon.worker.tasks import Tasks
from antiphon.worker.turn_taking import TurnTaking

if TYPE_CHECKING:
    from antiphon.worker.audio import Packet
    from antiphon.worker.checkpoints import Keeper
    from antiphon.worker.ingest import Reader
    from antiphon.worker.latency import TurnTrace
    from antiphon.worker.recording import Recorder, Recordings
    from antiphon.worker.stretch import Stretch
    from antiphon.worker.transport import CallInfo, Transport
    from antiphon.worker.utterance import Said, Utterance

MessageHandler = Callable[[Any], Awaitable[None] | None]
DataHandler = Callable[[str, bytes, bool], Awaitable[None] | None]
DtmfHandler = Callable[[Dtmf], Awaitable[None] | None]

_UNSENT_MESSAGES = 64
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
    def __init__(
        self,
        info: CallInfo,
        transport: Transport,
        hearing: Hearing,
        ended: Callable[[Call], None],
        *,
        grace_s: float = 0.0,
        checkpoints: Keeper | None = None,
        recordings: Recordings | None = None,
        set_up: SetUp | None = None,
    ) -> None:
        """grace_s: for so long the call waits for its caller when its edge is lost."""
        self.set_up = set_up or SetUp(info)
        self._checkpoints = checkpoints
        self.recorder: Recorder | None = None
        self.info = info
        self.log = _log.bind(session=info.id, agent=info.agent, **self.set_up.named)
        self.tasks = Tasks(info.id, self.fail, self.set_up.context)
        self.closed = asyncio.Event()
        self.error: BaseException | None = None
        self.message_handler: MessageHandler | None = None
        self.data_handler: DataHandler | None = None
        self.dtmf_handler: DtmfHandler | None = None
        self.quality = Quality()
        self.turns = TurnTaking(self)
        self.answering = Answering(self, hearing, transport)
        self.ears = Ears(self, hearing, self.answering.act)
        self.speaker = Speaker(
            transport, self._tell_utterance, self.ears.agent_speaks, self.answering.answered, self.set_up.spoke
        )
        self.keypad = Keypad()
        self.last_frame: Frame | None = None
        self.legs = Legs(self, transport, grace_s)
        self.succession = Succession(self)
        self._transport = transport
        self._ended = ended
        self._readers: list[weakref.ref[Reader]] = []  # one that the agent dropped is dropped here, too
        self._keys = Keys(self.keypad, self._tell_key)
        self._connected = asyncio.Event()
        self._unsent: list[tuple[str, bytes, bool]] = []
        self._reason: str | None = None
        if info.recording:
            self._record(recordings)
        self.succession.begin()

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
        if self.recorder is not None:
            self.recorder.connected()

    async def wait_connected(self) -> None:
        await self._connected.wait()

    def hear(self, frame: Frame) -> None:
        if not self._connected.is_set():
            self.connected()  # media and control are streams of their own: a frame may come first
        if self.last_frame is None:
            self.set_up.heard()
        if frame.flags & TELEPHONE_EVENT:
            self._press(frame)
            return
        self.keypad.begin(frame.timestamp)
        self.last_frame = frame
        if self.recorder is not None:
            self.recorder.hear(frame)
        for reader in self._listening():
            reader.put(frame)
        if (listener := self.ears.listener) is not None:
            listener.hear(frame)

    def noticed(self, hint: VoiceHint) -> None:
        self.ears.noticed(hint)

    def miss(self, gap: Gap) -> None:
        metrics.MISSING.labels("lost" if gap.lost else "announced").inc(gap.missing)
        self._let_pass(gap)

    def _let_pass(self, gap: Gap) -> None:
        for reader in self._listening():
            reader.put_gap(gap)
        self.ears.miss(gap)

    def measured(self, quality: Quality) -> None:
        quality.count_since(self.quality)
        self.quality = quality
        self.ears.echoed(quality.echo)

    def _press(self, frame: Frame) -> None:
        """A packet of a key. If it was missing, nobody need wait for it any more."""
        self._keys.hear(frame)
        if frame.repaired:
            self._let_pass(Gap(frame.sequence, 1, lost=True))

    def _tell_key(self, key: Dtmf) -> None:
        if self.dtmf_handler is None:
            metrics.dropped("dtmf", "no_handler")
        else:
            self.tasks.handle(self.dtmf_handler, key)

    def receive(self, label: str, payload: bytes, *, binary: bool) -> None:
        """A data-channel message of the caller."""
        if label != data.LABEL:
            if self.data_handler is None:
                metrics.dropped("message", "no_handler")
            else:
                self.tasks.handle(self.data_handler, label, payload, binary)
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
            self.tasks.handle(self.message_handler, body)

    # what another worker shall know

    def checkpoint(self, text: str, room: str = "") -> None:
        """text: JSON; `room` where it is that of its agent."""
        if self._checkpoints is not None and not self.closed.is_set():
            info = self.info
            self._checkpoints.put(info.id, info.epoch, text, edge=info.edge, takeovers=info.takeovers, room=room)

    async def restored(self, *, room: bool = False) -> Any:  # noqa: ANN401
        return None if self._checkpoints is None else await self._checkpoints.get(self.info.id, room=room)

    # moves to another edge

    @property
    def may_come_back(self) -> bool:
        """Whether a caller whose edge is lost is worth waiting for: it was connected, and nobody hung up."""
        return self._connected.is_set() and self._reason is None and not self.closed.is_set()

    def lose_edge(self) -> None:
        """The caller is out of reach: what is said and sent waits for it."""
        self._connected.clear()
        self._transport = self.answering.tracer.transport = Nowhere()
        self.speaker.lose_edge()

    def moved(self, info: CallInfo, transport: Transport) -> None:
        """The caller is at another edge."""
        if self.closed.is_set():
            transport.hang_up(self._reason or "worker", after_playout=False)
            return
        self.info = info
        self.succession.moved()
        self._transport = self.answering.tracer.transport = transport
        self.quality = Quality()
        if self.ears.edge_may_hold:
            transport.set_policy(hold_on_voice=True)
        self._connected.clear()
        self.connected()
        self.speaker.move(transport)
        if self._reason is not None:  # the wish to hang up went to the edge that was left
            transport.hang_up(self._reason, after_playout=False)

    def close(self, reason: str) -> None:
        """The session is over: the caller left, or its link is gone."""
        if self.closed.is_set():
            return
        self.closed.set()
        self.succession.close()
        self.legs.close(self._reason or "worker")
        self.speaker.close()
        if self.recorder is not None:
            self.recorder.end("session_ended")
        self._keys.close()
        self.ears.close()
        for reader in self._listening():
            reader.close()
        self.tasks.cancel()
        reason = self._reason or reason
        self.set_up.close(reason)
        metrics.SESSIONS_ENDED.labels(_bounded(reason)).inc()
        self.log.info("session ended", reason=reason)
        self._ended(self)

    async def wait_tasks(self) -> None:
        """Returns when no code of the agent runs any more."""
        await self.tasks.wait()

    # what the agent does

    def start(self, agent: Coroutine[Any, Any, None]) -> None:
        self.tasks.spawn(self._run(agent), "agent")

    def let_edge_hold(self, allowed: bool) -> None:  # noqa: FBT001
        self._transport.set_policy(hold_on_voice=allowed)

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
                self.ears.protect(protection)
            return reason

        try:
            return await self.speaker.say(spoken, take_floor, trace)
        finally:
            self.ears.unprotect(protection)

    def read(self, reader: Reader) -> None:
        if self.closed.is_set():
            reader.close()
        else:
            self._readers.append(weakref.ref(reader, self._readers.remove))
            self.succession.listens()

    def _listening(self) -> list[Reader]:
        return [reader for ref in tuple(self._readers) if (reader := ref()) is not None]

    def _record(self, recordings: Recordings | None) -> None:
        """As the session was made to be. The caller hears of it, also where nothing comes of it."""

        def tell(state: str, reason: str) -> None:
            self.tell("recording", {"state": state, **({"reason": reason} if reason else {})})

        if recordings is None:
            metrics.RECORDINGS.labels("refused").inc()
            self.log.error("session is not recorded: recording.enabled is not set at this worker")
            tell("failed", "not_enabled")
        else:
            self.recorder = self.speaker.witness = recordings.recorder(self.info, tell)

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

    def _tell_utterance(self, utterance: Utterance, state: str) -> None:
        heard, length = (data.milliseconds(ticks / CLOCK_RATE) for ticks in (utterance.heard, utterance.length))
        body = {"utterance": utterance.number, "state": state, "heardMs": heard, "lengthMs": length}
        self.tell("agentUtterance", body)

    def fail(self, error: BaseException, where: str) -> None:
        """Ends this session, and only this one, for an exception in its code."""
        if not self.closed.is_set():
            self.error = error
            metrics.AGENT_ERRORS.labels(self.info.agent).inc()
            self.log.error("agent failed", task=where, exc_info=error)
            self.hang_up("error", after_playout=False)

    async def _run(self, agent: Coroutine[Any, Any, None]) -> None:
        await agent
        answering = self.answering
        handlers = (
            answering.turn_handler, answering.idle_handler, self.message_handler, self.data_handler, self.dtmf_handler
        )  # fmt: skip
        if not any(handlers):
            self.hang_up("hangup", after_playout=True)  # nothing of the agent is left that could act


_REASONS = frozenset(
    {"bye", "hangup", "api", "moved", "drain", "consent", "timeout", "dtls", "error", "worker", "edge"}
)


def _bounded(reason: str) -> str:
    return reason if reason in _REASONS else "other"
