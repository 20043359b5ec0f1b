"""What an agent's code sees of a session."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

from antiphon.ids import room_name
from antiphon.worker import data
from antiphon.worker.audio import frame_level
from antiphon.worker.checkpoints import encode
from antiphon.worker.ingest import Conceal, FrameQueue, GapQueue, PcmAssembler
from antiphon.worker.order import in_order

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    import structlog

    from antiphon.frames import Frame, Gap
    from antiphon.opus import Pcm
    from antiphon.turns import Interruptions
    from antiphon.worker.answering import IdleHandler, LateHandler, TurnHandler
    from antiphon.worker.audio import Audio
    from antiphon.worker.call import Call, DataHandler, DtmfHandler, MessageHandler
    from antiphon.worker.quality import Quality
    from antiphon.worker.speech import Voice
    from antiphon.worker.turn_taking import TurnTaking
    from antiphon.worker.utterance import Said


class Session:
    """A caller who talks with an agent. All methods belong to the event loop that the agent runs on."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.voice: Voice | None = None
        """What says text that is given to `say`."""

    @property
    def id(self) -> str:
        return self._call.info.id

    @property
    def agent(self) -> str:
        """The name that the agent was asked for by."""
        return self._call.info.agent

    @property
    def room(self) -> str | None:
        """The room that the caller is in."""
        return room_name(self._call.info.room) or None

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the application gave when it made the session."""
        return self._call.info.metadata

    @property
    def region(self) -> str:
        """The region of the caller's edge."""
        return self._call.info.region

    @property
    def edge(self) -> str:
        """The id of the caller's edge."""
        return self._call.info.edge

    @property
    def log(self) -> structlog.stdlib.BoundLogger:
        """A logger that names the session."""
        return self._call.log

    @property
    def speaking(self) -> bool:
        """Whether the agent is saying something."""
        return self._call.speaker.speaking

    @property
    def quality(self) -> Quality:
        """How well the caller's audio comes: loss before and after repair, jitter, repairs; renewed each second."""
        return self._call.quality

    # turns and messages: decorators

    @overload
    def on_turn(self, handler: TurnHandler) -> TurnHandler: ...
    @overload
    def on_turn(self, *, speculative: bool) -> Callable[[TurnHandler], TurnHandler]: ...
    def on_turn(
        self, handler: TurnHandler | None = None, *, speculative: bool = False
    ) -> TurnHandler | Callable[[TurnHandler], TurnHandler]:
        """The caller has finished a turn: `await handler(turn)`.

        The task is cancelled when the turn is withdrawn (the caller went on before anything was said), when another
        turn ends, and when the caller leaves. When the caller speaks over it, what is being said is cut: `say` returns.

        A `speculative` handler begins when the turn only seems to be over, so that it may think ahead: what it says is
        made, but does not leave before the turn is committed, and is never heard if the turn is withdrawn.
        `turn.tentative` tells, and `await turn.confirmed()` waits.
        """

        def listen(handler: TurnHandler) -> TurnHandler:
            self._call.answering.listen(handler, speculative=speculative)
            return handler

        return listen if handler is None else listen(handler)

    def on_idle(self, handler: IdleHandler) -> IdleHandler:
        """Nobody has said anything for a while: `handler(count)`, plain or async, from 1 since the caller's last turn.

        Each time the silence is twice as long: `session.turns.policy.idle_s`, 10 s unless it is set.
        """
        self._call.answering.on_idle(handler)
        return handler

    def on_late(self, handler: LateHandler) -> LateHandler:
        """The agent owes a reply for `session.turns.policy.late_s` (1.5 s unless it is set): `handler()`.

        Plain or async; it may say something that fills the silence, which the reply then follows.
        """
        self._call.answering.on_late(handler)
        return handler

    @property
    def turns(self) -> TurnTaking:
        """How turns are taken: eagerness, manual turns, time to think."""
        return self._call.turns

    def on_message(self, handler: MessageHandler) -> MessageHandler:
        """The caller's application sent something: `handler(data)`, plain or async; data is any JSON value."""
        self._call.message_handler = handler
        return handler

    def on_data(self, handler: DataHandler) -> DataHandler:
        """A message on another data channel than Antiphon's own: `handler(label, payload, binary)`, plain or async."""
        self._call.data_handler = handler
        return handler

    def on_dtmf(self, handler: DtmfHandler) -> DtmfHandler:
        """The caller pressed a key and let it go: `handler(key)`, plain or async; `key.digit`, `key.seconds`."""
        self._call.dtmf_handler = handler
        return handler

    # speaking

    async def say(self, audio: Audio | str, *, rate: int | None = None, protected: bool = False) -> Said:
        """Says `audio` after what is being said; returns when all was heard, or where it was cut.

        `audio` is Opus (frames of a turn, packets as bytes), or mono PCM (numpy int16, or float between -1 and 1, of
        any `rate`), or `Speech`, which is PCM with its words, or an iterator or async iterator of any of these, which
        may be faster than real time. A plain iterator, such as a generator, runs in a thread of its own, so it may
        block. Text is said by `session.voice`. Of what brought its words, the result tells the words heard (`text`).
        While something `protected` is said, the caller's voice neither holds nor cuts it.
        """
        if isinstance(audio, str):
            if self.voice is None:
                raise ValueError("say() of text needs a voice that says it: set session.voice")
            audio = self.voice.speak(audio)
        return await self._call.say(audio, rate, protected=protected)

    @property
    def interruptions(self) -> Interruptions:
        """What of the caller's holds and cuts what the agent says: `speech`, `never`, or only recognised `words`."""
        return self._call.ears.policy.interruptions

    @interruptions.setter
    def interruptions(self, what: Interruptions) -> None:
        if what not in ("never", "speech", "words"):
            raise ValueError(f"interruptions {what!r}: expected never, speech or words")
        self.turns.policy = replace(self.turns.policy, interruptions=what)

    def forward(self, frame: Frame) -> None:
        """Plays one Opus frame at once, unpaced: for echoes and live sources, in the order that they have."""
        self._call.speaker.forward(frame.payload, frame.duration, frame_level(frame))

    def stop(self) -> None:
        """Cuts what is being said."""
        self._call.speaker.stop("stopped")

    def hold(self) -> None:
        """Pauses what is being said; nothing is lost."""
        self._call.speaker.hold()

    def resume(self) -> None:
        """Goes on after `hold`."""
        self._call.speaker.resume()

    # listening

    @overload
    def frames(self) -> AsyncIterator[Frame]: ...
    @overload
    def frames(self, *, gaps: Literal[True]) -> AsyncIterator[Frame | Gap]: ...
    def frames(self, *, gaps: bool = False) -> AsyncIterator[Frame] | AsyncIterator[Frame | Gap]:
        """The caller's Opus frames as they arrive, undecoded; with `gaps`, also word of those that are missing.

        A gap is told at once, before the frame behind it, and again (`lost`) once nothing can repair it. A repaired
        frame comes late, out of sequence, and says so (`repaired`). One with `fec` holds the frame before it once more.
        Packets that are no audio (DTMF) share the sequence: their numbers are left out without a gap. A reader that
        falls ten seconds behind loses the oldest frames, which it sees as a gap.
        """
        reader = GapQueue() if gaps else FrameQueue()
        self._call.read(reader)
        return reader

    async def pcm(self, rate: int = 16_000, *, conceal: Conceal = "silence") -> AsyncGenerator[Pcm, None]:
        """The caller's audio as it arrives: mono int16 of shape (samples,), at 8, 12, 16, 24 or 48 kHz.

        What is behind a gap waits for its repair, for about a round trip at most. What is lost for good is decoded
        from in-band FEC where that is there; else `conceal` says: `silence` (zeros, so that the time stays right),
        `omit` (nothing), or `opus` (what a decoder makes up: for ears, not for recognition). Pauses are zeros.
        Decoding happens only while somebody reads.
        """
        reader = GapQueue()
        self._call.read(reader)
        assembler = PcmAssembler(rate, conceal)
        async for frame in in_order(reader, self._call.ears.gap_wait_s):
            samples = assembler.push(frame)
            if len(samples):
                yield samples

    def mute(self, muted: bool = True) -> None:  # noqa: FBT001, FBT002 - as one says it
        """Lets nobody in its room hear the caller, this agent among them; or lets it be heard again."""
        self._call.mute(muted)

    # another worker

    def checkpoint(self, state: Any) -> None:  # noqa: ANN401
        """What this agent wants to know again if its worker is lost: any JSON value of 16 KiB at most.

        The last one counts. It is written a moment later, to the cluster's memory; the call does not wait for it.
        """
        self._call.checkpoint(encode(state))

    async def restored(self) -> Any:  # noqa: ANN401
        """The last checkpoint, where the session was with another worker that is lost; else None."""
        return await self._call.restored()

    # messages, the end

    def send(self, message: Any) -> None:  # noqa: ANN401
        """Sends any JSON value, of 64 KiB at most, to the caller's application."""
        self._call.tell("app", {"data": message})

    def send_data(self, label: str, payload: bytes | str) -> None:
        """Sends up to 64 KiB on another data channel, which the caller opened with this label."""
        if label == data.LABEL:
            raise ValueError(f"{label!r} is Antiphon's own channel: use send()")
        binary = isinstance(payload, bytes)
        self._call.send_data(label, payload if isinstance(payload, bytes) else payload.encode(), binary=binary)

    def hang_up(self, reason: str = "hangup", *, after_playout: bool = True) -> None:
        """Ends the session, by default once all that was said has been played."""
        self._call.hang_up(reason, after_playout=after_playout)

    async def wait_closed(self) -> None:
        """Returns when the caller has left. Agents rarely need it: their tasks are cancelled then."""
        await self._call.closed.wait()
