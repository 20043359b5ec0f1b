"""Writes one recording: two tracks and what is said of them. All of it blocks, and runs in the writer's thread."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from antiphon.frames import CLOCK_RATE
from antiphon.recordings import MANIFEST, Manifest, Track
from antiphon.worker.recording.events import Event, Forwarded, Forwarding, Queued, Received, Reported, Settled
from antiphon.worker.recording.ogg import OggTrack
from antiphon.worker.recording.tracks import AgentTrack, CallerTrack, TimeLine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class TrackFile(Protocol):
    """See `OggTrack`."""

    @property
    def end(self) -> int: ...

    @property
    def size(self) -> int: ...

    def place(self, at: int, duration: int, payload: bytes, *, bridge: bool) -> bool: ...

    def pad(self, until: int, *, bridge: bool) -> None: ...

    def close(self) -> None: ...


class Writing:
    """`folder` is made for it. Raises OSError."""

    def __init__(
        self, manifest: Manifest, folder: Path, begun_s: float, open_track: Callable[[Path], TrackFile] = OggTrack
    ) -> None:
        self.manifest = manifest
        self.folder = folder
        folder.mkdir(parents=True, mode=0o700)
        _write(folder / MANIFEST, manifest)
        self._files: dict[str, TrackFile] = {name: open_track(folder / f"{name}.ogg") for name in ("caller", "agent")}
        self._line = TimeLine()
        self._begun_s = begun_s
        self.taken_s = begun_s
        """Up to when the call was taken down."""
        self._caller = CallerTrack(self._line, self._files["caller"])
        self._agent = AgentTrack(self._line, self._files["agent"])

    @property
    def size(self) -> int:
        return sum(file.size for file in self._files.values())

    @property
    def seconds(self) -> float:
        return max(file.end for file in self._files.values()) / CLOCK_RATE

    def take(self, events: Sequence[Event], now_s: float, *, last: bool = False) -> None:
        """What the call told since the last time."""
        self.taken_s = now_s
        for event in events:
            self._take(event)
        self._line.begin(self._begun_s)
        self._caller.advance(now_s, last=last)
        self._agent.advance(now_s, last=last)

    def _take(self, event: Event) -> None:
        match event:
            case Received():
                self._caller.hear(event)
            case Queued():
                self._line.begin(self._begun_s)
                self._agent.queue(event)
            case Forwarded():
                self._line.begin(self._begun_s)
                self._agent.forward(event)
            case Forwarding():
                self._agent.hear_of(event)
            case Reported():
                self._agent.report(event)
            case Settled():
                self._agent.settle(event)

    def finish(self, reason: str, dropped: dict[str, int], ended_ms: int, *, complete: bool) -> Manifest:
        """Closes both tracks, and says what became of them."""
        try:
            for file in self._files.values():
                file.close()
        finally:
            counts = {**dropped, "too_late": self._caller.late}
            tracks = (self._track("caller"), self._track("agent"))
            self.manifest = self.manifest.model_copy(
                update={
                    "state": "complete" if complete else "incomplete",
                    "reason": reason,
                    "ended_ms": ended_ms,
                    "tracks": tracks,
                    "dropped": {why: count for why, count in counts.items() if count},
                }
            )
            _write(self.folder / MANIFEST, self.manifest)
        return self.manifest

    @property
    def late(self) -> int:
        """Frames of the caller that came after their place was written."""
        return self._caller.late

    def _track(self, name: str) -> Track:
        path = self.folder / f"{name}.ogg"
        size = path.stat().st_size if path.exists() else 0
        seconds = round(self._files[name].end / CLOCK_RATE, 3)
        return Track.model_validate({"track": name, "file": path.name, "bytes": size, "seconds": seconds})


def _write(path: Path, manifest: Manifest) -> None:
    """Whole or not at all."""
    partial = path.with_name(f".{path.name}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(manifest.model_dump_json(indent=2))
    partial.replace(path)
