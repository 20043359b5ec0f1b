"""One session's recording as its call sees it: what is told is kept, and handed on. Nothing here waits for a disk."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from antiphon.recordings import Manifest, part_name
from antiphon.worker import metrics
from antiphon.worker.recording.events import Event, Forwarded, Forwarding, Queued, Received, Reported, Settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.frames import Frame
    from antiphon.worker.transport import CallInfo

MOST_UNWRITTEN = 4_000
"""Events that may wait for the disk: about half a minute of talk."""


class Shelf(Protocol):
    """Takes what a recorder hands on: see `Recordings`."""

    def begin(self, recorder: Recorder) -> None: ...

    def write(self, recorder: Recorder, events: list[Event], now_s: float) -> None: ...

    def finish(self, recorder: Recorder, events: list[Event], now_s: float) -> None: ...


class Recorder:
    """`tell(state, reason)` lets the caller know: started, ended, failed. All methods belong to the event loop."""

    def __init__(self, info: CallInfo, project: str, shelf: Shelf, tell: Callable[[str, str], None]) -> None:
        self._info = info
        self._project = project
        self._shelf = shelf
        self._tell = tell
        self._events: list[Event] = []
        self._loop = asyncio.get_running_loop()
        self._handed = 0
        self.written = 0
        """Of the events that were handed on. Only the writer's thread counts it."""
        self.begun_s = 0.0
        self.manifest: Manifest | None = None
        """Once it has begun."""
        self.over = False
        self.reason = ""
        self.dropped: dict[str, int] = {}

    @property
    def session(self) -> str:
        return self._info.id

    @property
    def state(self) -> str:
        """started, ended or failed, as the caller was told; empty before."""
        if self.manifest is None:
            return ""
        if not self.over:
            return "started"
        return "failed" if self.reason.startswith("disk") else "ended"

    @property
    def complete(self) -> bool:
        return self.reason == "session_ended" and not self.dropped

    def connected(self) -> None:
        """The caller is there, or at another edge: it hears that it is recorded."""
        if self.manifest is None and not self.over:
            info = self._info
            self.begun_s = self._loop.time()
            self.manifest = Manifest(
                session=info.id,
                project=self._project,
                part=part_name(info.epoch, info.takeovers),
                agent=info.agent,
                worker=info.worker,
                room=info.room.rpartition("/")[2],
                started_ms=round(time.time() * 1000),
            )
            self._shelf.begin(self)
        self._tell(self.state, self.reason)

    # what the call tells

    def hear(self, frame: Frame) -> None:
        if frame.payload and frame.duration:
            arrival_s = None if frame.repaired else self._loop.time()
            self._add(Received(frame.timestamp, frame.duration, frame.payload, arrival_s))

    def queued(self, utterance: int, end: int, duration: int, payload: bytes) -> None:
        self._add(Queued(utterance, end, duration, payload))

    def forwarded(self, duration: int, payload: bytes) -> None:
        self._add(Forwarded(self._loop.time(), duration, payload))

    def forwarding(self, to_the_ear_us: int) -> None:
        self._add(Forwarding(to_the_ear_us / 1e6))

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
    ) -> None:
        now_s = self._loop.time()
        self._add(Reported(now_s, utterance, sent, heard, paused, base, began_us, to_the_ear_us / 1e6))

    def settled(self, utterance: int, heard: int) -> None:
        self._add(Settled(self._loop.time(), utterance, heard))

    def _add(self, event: Event) -> None:
        if not self.over:
            self._events.append(event)

    # handing on

    def hand_on(self) -> None:
        """What was told since the last time goes to the writer, unless that is too far behind: then this is the end."""
        if self.over or self.manifest is None:
            return
        if self._handed - self.written + len(self._events) > MOST_UNWRITTEN:
            self.end("disk_slow")
            return
        events, self._events = self._events, []
        self._handed += len(events)
        self._shelf.write(self, events, self._loop.time())

    def end(self, reason: str) -> None:
        """session_ended, or what stands in the way of going on. The call goes on, and its caller hears of it."""
        if self.over:
            return
        self.over, self.reason = True, reason
        events, self._events = self._events, []
        if self.manifest is None:
            return
        if self.state == "failed":
            self._drop(reason, events)
            events = []
        self._shelf.finish(self, events, self._loop.time())
        self._tell(self.state, reason)

    def _drop(self, reason: str, events: list[Event]) -> None:
        frames = sum(isinstance(event, Received | Queued | Forwarded) for event in events)
        self.dropped[reason] = self.dropped.get(reason, 0) + frames
        metrics.dropped("recording_frame", reason, frames)
