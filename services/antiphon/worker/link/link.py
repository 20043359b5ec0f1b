"""One linked edge: its sessions by handle, what they send gathered, and what the edge says handed to them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from antiphon.recordings import RECORDING_KEY, project_in
from antiphon.spans import TRACE_KEY, trace_in
from antiphon.telemetry import get_logger
from antiphon.turns import TURNS_KEY
from antiphon.wire.media.v1 import link_pb2 as pb
from antiphon.worker import metrics
from antiphon.worker.link.clocks import Clocks
from antiphon.worker.link.columns import (
    FLUSH,
    HOLD,
    RELEASE,
    RESUME,
    BadColumnsError,
    Outbox,
    drop_rows,
    gap_rows,
    hint_rows,
    ingest_rows,
    quality_rows,
    report_rows,
)  # fmt: skip
from antiphon.worker.transport import LIVE, CallInfo, Takeover, parse_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from antiphon.worker.legs import Leg
    from antiphon.worker.transport import Transport

_log = get_logger("worker.link")

_MOST_LIVE_FRAMES = 8192
_MOST_CONTROL = 4096


class RefusedError(Exception):
    """A session cannot be taken. `reason` is a counter's label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Calls(Protocol):
    """Makes calls for sessions, and takes those on that come from another edge."""

    def open(self, info: CallInfo, transport: Transport) -> Leg:
        """Raises RefusedError."""
        ...

    def room_changed(self, edge: str, room: str, members: Mapping[str, tuple[bool, bool]]) -> None:
        """members: muted and speaking by session id."""
        ...


class Stripe:
    """One media stream's outgoing side. Its writer sends at once when idle, and gathers under load."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.wake = asyncio.Event()

    def play(
        self, session: int, utterance: int, generation: int, duration: int, flags: int, payload: bytes, level: int = 0
    ) -> None:
        if flags & LIVE and len(self.outbox) >= _MOST_LIVE_FRAMES:
            metrics.dropped("frame", "link_full")
            return
        self.outbox.play(session, utterance, generation, duration, flags, payload, level)
        self.wake.set()

    def command(self, session: int, command: int, generation: int = 0) -> None:
        self.outbox.command(session, command, generation)
        self.wake.set()

    def done(self, session: int, timestamp: int) -> None:
        self.outbox.done(session, timestamp)
        self.wake.set()

    async def write(self, send: Callable[[pb.MediaResponse], object], gather_us: Callable[[], int]) -> None:
        """Sends until cancelled. `send` is awaited: a peer that does not read holds it up."""
        loop = asyncio.get_running_loop()
        last = 0.0
        while True:
            await self.wake.wait()
            pause = last + gather_us() / 1e6 - loop.time()
            # even when idle, those who are to run in this turn of the loop may add theirs
            await asyncio.sleep(max(pause, 0))
            self.wake.clear()
            if len(self.outbox):
                last = loop.time()
                message = self.outbox.take()
                metrics.FRAMES_OUT.inc(len(message.frames.session))
                metrics.MESSAGES.labels("out").inc()
                await send(message)  # type: ignore[misc]


class LinkTransport:
    """One session's way to its edge."""

    __slots__ = ("_handle", "_link", "_stripe")

    def __init__(self, link: Link, handle: int) -> None:
        self._link = link
        self._handle = handle
        self._stripe = link.stripes[handle % len(link.stripes)]

    def play(self, utterance: int, generation: int, duration: int, flags: int, payload: bytes, level: int = 0) -> None:
        self._stripe.play(self._handle, utterance, generation, duration, flags, payload, level)

    def hold(self) -> None:
        self._stripe.command(self._handle, HOLD)

    def resume(self) -> None:
        self._stripe.command(self._handle, RESUME)

    def release(self) -> None:
        self._stripe.command(self._handle, RELEASE)

    def set_policy(self, *, hold_on_voice: bool) -> None:
        policy = pb.SessionPolicy(session=self._handle, hold_on_voice=hold_on_voice)
        self._link.control(pb.ControlResponse(policy=policy), urgent=True)

    def flush(self, generation: int) -> None:
        self._stripe.command(self._handle, FLUSH, generation)

    def send_data(self, label: str, payload: bytes, *, binary: bool) -> None:
        message = pb.DataMessage(session=self._handle, label=label, binary=binary, payload=payload)
        self._link.control(pb.ControlResponse(data=message))

    def mute(self, muted: bool) -> None:  # noqa: FBT001
        self._link.control(pb.ControlResponse(member=pb.MemberChange(session=self._handle, muted=muted)))

    def hang_up(self, reason: str, *, after_playout: bool) -> None:
        message = pb.HangUp(session=self._handle, reason=reason, after_playout=after_playout)
        self._link.control(pb.ControlResponse(hang_up=message), urgent=True)

    def done(self, timestamp: int) -> None:
        self._stripe.done(self._handle, timestamp)

    def worker_s(self, edge_s: float) -> float:
        return self._link.clocks.here(edge_s)


class Link:
    def __init__(self, hello: pb.Hello, worker: str, stripes: int, calls: Calls) -> None:
        self.id = hello.link
        self.edge = hello.edge
        self.region = hello.region
        self.stripes = tuple(Stripe() for _ in range(stripes))
        self.outgoing: asyncio.Queue[pb.ControlResponse] = asyncio.Queue()
        self._worker = worker
        self._calls = calls
        self._sessions: dict[int, Leg] = {}
        self.closed = asyncio.Event()
        self.clocks = Clocks()

    def control(self, message: pb.ControlResponse, *, urgent: bool = False) -> None:
        """Queues a message. Data messages are dropped, and counted, when the edge does not read; urgent ones never."""
        if self.outgoing.qsize() >= _MOST_CONTROL and not urgent:
            metrics.dropped("message", "link_full")
        else:
            self.outgoing.put_nowait(message)

    def handle_control(self, message: pb.ControlRequest) -> None:
        try:
            self._handle_control(message)
        except Exception:  # noqa: BLE001 - one bad message must not end the link
            metrics.dropped("message", "failed")
            _log.exception("control message failed", edge=self.edge, kind=message.WhichOneof("message"))

    def _handle_control(self, message: pb.ControlRequest) -> None:
        kind = message.WhichOneof("message")
        if kind == "opened":
            self._open(message.opened)
        elif kind == "connected":
            if leg := self._find(message.connected.session):
                leg.connected()
        elif kind == "closed":
            if leg := self._sessions.pop(message.closed.session, None):
                leg.close(message.closed.reason)
        elif kind == "data":
            if leg := self._find(message.data.session):
                leg.receive(message.data.label, message.data.payload, binary=message.data.binary)
        elif kind == "room":
            members = {one.id: (one.muted, one.speaking) for one in message.room.members}
            self._calls.room_changed(self.edge, message.room.room, members)
        else:
            self._handle_link(kind, message)

    def _handle_link(self, kind: str | None, message: pb.ControlRequest) -> None:
        """What concerns the link and no session."""
        if kind == "ping":
            pong = pb.Pong(sent_us=message.ping.sent_us, received_us=now_us())
            self.control(pb.ControlResponse(pong=pong))
        elif kind == "pong":
            now = now_us()
            metrics.LINK_RTT.labels(self.edge).set((now - message.pong.sent_us) / 1e6)
            self.clocks.answered(message.pong.sent_us / 1e6, message.pong.received_us / 1e6, now / 1e6)
        else:
            metrics.dropped("message", "unexpected")

    def handle_media(self, message: pb.MediaRequest) -> None:
        metrics.MESSAGES.labels("in").inc()
        try:
            self._hear(message)
        except BadColumnsError as error:
            metrics.dropped("message", "malformed")
            _log.warning("media message refused", edge=self.edge, error=str(error))

    def _hear(self, message: pb.MediaRequest) -> None:
        for handle, gap in gap_rows(message.gaps):
            if leg := self._sessions.get(handle):
                _alone(leg, leg.miss, gap)
        self._hear_frames(message.frames)
        for handle, *report in report_rows(message.playout):
            if leg := self._sessions.get(handle):
                _alone(leg, leg.report, *report)
        for handle, quality in quality_rows(message.quality):
            if leg := self._sessions.get(handle):
                _alone(leg, leg.measured, quality)
        for handle, hint in hint_rows(message.hints):
            if leg := self._sessions.get(handle):
                _alone(leg, leg.noticed, hint)
        for _, dropped in drop_rows(message.drops):
            metrics.EDGE_DROPPED.inc(dropped)

    def _hear_frames(self, frames: pb.IngestFrames) -> None:
        find, unknown, count = self._sessions.get, 0, 0
        for handle, frame in ingest_rows(frames):
            count += 1
            if leg := find(handle):
                try:
                    leg.hear(frame)
                except Exception as error:  # noqa: BLE001 - the other sessions of the message go on
                    leg.fail(error, "hear")
            else:
                unknown += 1
        metrics.FRAMES_IN.inc(count)
        if unknown:
            metrics.dropped("frame", "unknown_session", unknown)

    def _find(self, handle: int) -> Leg | None:
        leg = self._sessions.get(handle)
        if leg is None:
            metrics.dropped("message", "unknown_session")
        return leg

    def _open(self, opened: pb.SessionOpened) -> None:
        if stale := self._sessions.pop(opened.session, None):
            stale.close("edge")
        try:
            metadata = parse_metadata(opened.metadata)
            wishes = metadata.pop(TURNS_KEY, None)
            recording = metadata.pop(RECORDING_KEY, None)
            trace = trace_in(metadata.pop(TRACE_KEY, None))
            info = CallInfo(
                id=opened.id, epoch=opened.epoch, agent=opened.agent, metadata=metadata,
                caller=opened.caller, edge=self.edge, region=self.region, worker=self._worker, room=opened.room,
                turns=wishes if isinstance(wishes, dict) else {},
                recording=project_in(recording), trace=trace, takeover=_takeover(opened),
            )  # fmt: skip
            self._sessions[opened.session] = self._calls.open(info, LinkTransport(self, opened.session))
            if info.takeover is not None:
                accepted = pb.SessionAccepted(session=opened.session)
                self.control(pb.ControlResponse(accepted=accepted), urgent=True)
        except (RefusedError, ValueError) as error:
            metrics.REFUSED.labels(error.reason if isinstance(error, RefusedError) else "metadata").inc()
            _log.warning("session refused", session=opened.id, agent=opened.agent, edge=self.edge, reason=str(error))
            refused = pb.SessionRefused(session=opened.session, reason=str(error))
            self.control(pb.ControlResponse(refused=refused), urgent=True)

    def close(self) -> None:
        """The link is gone: its sessions' callers may come back by another edge."""
        for leg in tuple(self._sessions.values()):
            leg.close("edge")
        self._sessions.clear()
        self.closed.set()


def _takeover(opened: pb.SessionOpened) -> Takeover | None:
    if not opened.HasField("takeover"):
        return None
    told = opened.takeover
    return Takeover(told.number, told.utterance, told.generation)


def _alone(leg: Leg, act: Callable[..., object], *what: object) -> None:
    """A failure ends this session; the others of the message go on."""
    try:
        act(*what)
    except Exception as error:  # noqa: BLE001 - whatever it is
        leg.fail(error, act.__name__)


def now_us() -> int:
    return time.monotonic_ns() // 1000
