"""All recordings of a worker: one thread writes them, and what is finished is told to the cluster and brought to where
it is kept, for as long as it may be.
"""

from __future__ import annotations

import asyncio
import queue
import shutil
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from antiphon.errors import UnavailableError
from antiphon.recordings import MANIFEST, Manifest, Store, StoreError, open_store, read_manifest
from antiphon.telemetry import get_logger
from antiphon.worker import metrics
from antiphon.worker.recording.ogg import OggTrack
from antiphon.worker.recording.recorder import Recorder
from antiphon.worker.recording.writing import TrackFile, Writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from antiphon.cluster import Cluster
    from antiphon.config_recording import RecordingConfig
    from antiphon.worker.recording.events import Event
    from antiphon.worker.transport import CallInfo

_log = get_logger("worker.recording")
_HAND_ON_S = 0.5
_SWEEP_S = 3600.0
_PAUSE_S = 1.0
_KEEP_AGAIN_S, _LONGEST_PAUSE_S = 5.0, 300.0
_MOST_NOTES = 4096
_STOP_S = 5.0
_SETTLE_S = 20.0


def recordings_of(config: RecordingConfig) -> Recordings | None:
    """None where nothing is recorded. Raises ConfigError."""
    store = open_store(config)
    return None if store is None else Recordings(config, store)


class Recordings:
    """`config` has a path. `keep` works until it is cancelled; `close` writes what is left."""

    def __init__(
        self,
        config: RecordingConfig,
        store: Store,
        *,
        open_track: Callable[[Path], TrackFile] = OggTrack,
    ) -> None:
        if config.path is None:
            raise ValueError("recordings need a path")
        self._config = config
        self._root = config.path
        self._store = store
        self._open_track = open_track
        self._loop = asyncio.get_running_loop()
        self._live: dict[Recorder, None] = {}
        self._writing: dict[Recorder, Writing] = {}
        """Of the thread alone."""
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._notes: deque[tuple[Manifest, str]] = deque()
        self._noted = asyncio.Event()
        self._to_keep: dict[Path, Manifest] = {}
        self._finished = asyncio.Event()
        self.unsettled = 0
        """Recordings that began and whose end is not told, or that are not kept, yet."""
        self._settled = asyncio.Event()
        self._settled.set()
        self._thread = threading.Thread(target=self._work, name="recordings", daemon=True)
        self._thread.start()

    def recorder(self, info: CallInfo, tell: Callable[[str, str], None]) -> Recorder:
        """For a session that shall be recorded."""
        return Recorder(info, info.recording, self, tell)

    @property
    def live(self) -> int:
        """Sessions that are being recorded."""
        return len(self._live)

    async def keep(self, cluster: Cluster) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hand_on())
            tasks.create_task(self._note(cluster))
            tasks.create_task(self._sweep())
            if self._store.elsewhere:
                tasks.create_task(self._upload())

    async def wait_settled(self) -> None:
        """Returns when all that ended is told and kept; not for ever: what is left is found at the next start."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                await self._settled.wait()

    def _count(self, change: int) -> None:
        self.unsettled += change
        if self.unsettled:
            self._settled.clear()
        else:
            self._settled.set()

    async def close(self) -> None:
        """Ends what is being recorded, and waits for the disk, though not for ever."""
        for recorder in tuple(self._live):
            recorder.end("session_ended")
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, _STOP_S)

    # what recorders hand on

    def begin(self, recorder: Recorder) -> None:
        self._live[recorder] = None
        metrics.RECORDING.inc()
        self._count(1)
        self._jobs.put(partial(self._safely, recorder, partial(self._begin, recorder)))

    def write(self, recorder: Recorder, events: list[Event], now_s: float) -> None:
        self._jobs.put(partial(self._safely, recorder, partial(self._take, recorder, events, now_s)))

    def finish(self, recorder: Recorder, events: list[Event], now_s: float) -> None:
        del self._live[recorder]
        metrics.RECORDING.dec()
        self._jobs.put(partial(self._end, recorder, events, now_s))

    async def _hand_on(self) -> None:
        while True:
            for recorder in tuple(self._live):
                recorder.hand_on()
            await asyncio.sleep(_HAND_ON_S)

    # the thread

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _safely(self, recorder: Recorder, job: Callable[[], None]) -> None:
        """A recording that cannot be written ends; the others go on."""
        try:
            job()
        except Exception as error:  # noqa: BLE001 - the disk's errors, and a library's
            _log.warning("recording cannot be written", session=recorder.session, error=str(error))
            self._loop.call_soon_threadsafe(recorder.end, "disk_failed")

    def _begin(self, recorder: Recorder) -> None:
        assert recorder.manifest is not None  # noqa: S101 - it has begun
        folder = self._root / recorder.manifest.folder
        self._writing[recorder] = Writing(recorder.manifest, folder, recorder.begun_s, self._open_track)
        self._loop.call_soon_threadsafe(self._begun, recorder.manifest)

    def _take(self, recorder: Recorder, events: list[Event], now_s: float) -> None:
        writing = self._writing.get(recorder)
        if writing is not None:
            writing.take(events, now_s)
            if writing.seconds >= self._config.longest_s:
                self._loop.call_soon_threadsafe(recorder.end, "too_long")
            elif writing.size >= self._config.most_bytes:
                self._loop.call_soon_threadsafe(recorder.end, "too_large")
        recorder.written += len(events)

    def _end(self, recorder: Recorder, events: list[Event], now_s: float) -> None:
        writing = self._writing.pop(recorder, None)
        manifest = recorder.manifest
        assert manifest is not None  # noqa: S101 - it has begun
        ended = {"state": "incomplete", "reason": recorder.reason, "ended_ms": round(time.time() * 1000)}
        failed = manifest.model_copy(update=ended)
        try:
            if writing is not None:
                if recorder.reason != "disk_failed":
                    # What the disk was too slow for is not made up: the tracks end where they are.
                    moment_s = now_s if recorder.reason != "disk_slow" else writing.taken_s
                    writing.take(events, moment_s, last=True)
                failed = writing.finish(
                    recorder.reason, recorder.dropped, failed.ended_ms or 0, complete=recorder.complete
                )
                if writing.late:
                    metrics.dropped("recording_frame", "too_late", writing.late)
        except Exception as error:  # noqa: BLE001 - the disk's errors, and a library's
            _log.warning("recording cannot be finished", session=recorder.session, error=str(error))
            recorder.reason = "disk_failed"
            failed = failed.model_copy(update={"state": "incomplete", "reason": "disk_failed"})
            writing = None
        self._loop.call_soon_threadsafe(self._ended, failed, writing is not None)

    # what becomes of them

    def _begun(self, manifest: Manifest) -> None:
        metrics.RECORDINGS.labels("started").inc()
        _log.info("recording started", session=manifest.session, part=manifest.part)
        self._tell(manifest, "started")

    def _ended(self, manifest: Manifest, written: bool) -> None:  # noqa: FBT001
        failed = manifest.reason.startswith("disk")
        metrics.RECORDINGS.labels("failed" if failed else manifest.state).inc()
        metrics.RECORDED_BYTES.inc(sum(track.bytes for track in manifest.tracks))
        _log.info("recording ended", session=manifest.session, part=manifest.part, reason=manifest.reason)
        self._tell(manifest, "failed" if failed else "ended")
        if written and self._store.elsewhere:
            folder = self._root / manifest.folder
            self._count(folder not in self._to_keep)
            self._to_keep[folder] = manifest
            self._finished.set()

    def _tell(self, manifest: Manifest, what: str) -> None:
        if len(self._notes) >= _MOST_NOTES:
            metrics.dropped("recording_note", "memory_away")
            self._told(self._notes.popleft()[1])
        self._notes.append((manifest, what))
        self._noted.set()

    async def _note(self, cluster: Cluster) -> None:
        """The cluster's memory hears of recordings, which tells it as events."""
        while True:
            await self._noted.wait()
            self._noted.clear()
            while self._notes:
                manifest, what = self._notes[0]
                try:
                    await cluster.session(manifest.session).note_recording(manifest.part, what, self._facts(manifest))
                except UnavailableError as error:
                    _log.warning("a recording is not noted yet", waiting=len(self._notes), error=str(error))
                    await asyncio.sleep(_PAUSE_S)
                else:
                    self._told(self._notes.popleft()[1])

    def _told(self, what: str) -> None:
        if what != "started":
            self._count(-1)

    def _facts(self, manifest: Manifest) -> dict[str, Any]:
        where = self._store.where if self._store.elsewhere else str(self._root / manifest.folder)
        facts = {"worker": manifest.worker, "where": where, "state": manifest.state, "reason": manifest.reason}
        return {name: fact for name, fact in facts.items() if fact}

    async def _upload(self) -> None:
        """Brings to the bucket what is finished, also what an earlier start left behind, and tries again for ever."""
        pause = _KEEP_AGAIN_S
        while True:
            self._finished.clear()
            behind = await asyncio.to_thread(self._left_behind)
            self._count(len(behind.keys() - self._to_keep.keys()))
            self._to_keep = behind | self._to_keep
            failed = False
            for folder, manifest in tuple(self._to_keep.items()):
                try:
                    await self._store.keep(folder, manifest)
                except (StoreError, FileNotFoundError) as error:
                    gone = isinstance(error, FileNotFoundError)  # another process was quicker
                    metrics.RECORDING_KEEPS.labels("gone" if gone else "failed").inc()
                    _log.warning("recording not kept yet", session=manifest.session, error=str(error))
                    failed = failed or not gone
                    if not gone:
                        continue
                else:
                    metrics.RECORDING_KEEPS.labels("kept").inc()
                del self._to_keep[folder]
                self._count(-1)
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            pause = min(2 * pause, _LONGEST_PAUSE_S) if failed else _KEEP_AGAIN_S
            if failed:
                await asyncio.sleep(pause)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SWEEP_S):
                        await self._finished.wait()

    def _left_behind(self) -> dict[Path, Manifest]:
        found = {path.parent: read_manifest(path) for path in self._root.glob(f"*/*/*/{MANIFEST}")}
        return {
            folder: manifest
            for folder, manifest in found.items()
            if manifest is not None and manifest.state != "recording"
        }

    async def _sweep(self) -> None:
        while True:
            try:
                gone = await self._store.sweep(time.time() - self._config.retention_days * 86_400)
            except StoreError as error:
                _log.warning("old recordings not deleted", error=str(error))
            else:
                metrics.RECORDINGS_SWEPT.inc(gone)
                if gone:
                    _log.info("old recordings deleted", parts=gone)
            await asyncio.sleep(_SWEEP_S)
