"""A worker's recordings: written beside the call, ended by limits, slow and broken disks, and told to the cluster."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.cluster import Cluster
from antiphon.config_recording import RecordingConfig
from antiphon.frames import REPAIR, Frame
from antiphon.opus import SILENCE_20_MS
from antiphon.recordings import DiskStore, Manifest, part_name, part_order, read_manifest
from antiphon.worker.recording import Recorder, Recordings
from antiphon.worker.recording.ogg import OggTrack
from antiphon.worker.recording.recorder import MOST_UNWRITTEN
from antiphon.worker.transport import CallInfo, Takeover
from tests.support.members import edge, kept, worker
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from antiphon.cluster.embedded import EmbeddedValkey
    from antiphon.worker.recording.writing import TrackFile

SESSION = "ses_frankfurt_" + "0" * 20


class Site:
    """Recordings in a folder, and a session that is recorded."""

    def __init__(self, root: Path, **settings: Any) -> None:
        open_track: Callable[[Path], TrackFile] = settings.pop("open_track", OggTrack)
        self.config = RecordingConfig(enabled=True, path=root, **settings)
        self.root = root
        self.recordings = Recordings(self.config, DiskStore(root), open_track=open_track)
        self.told: list[tuple[str, str]] = []

    def recorder(self, session: str = SESSION, epoch: int = 7, takeovers: int = 0) -> Recorder:
        lost = Takeover(takeovers, utterance=0, generation=0) if takeovers else None
        info = CallInfo(
            session, epoch, "echo", {}, "", "edge-f", "frankfurt", "worker-a", recording="acme", takeover=lost
        )
        return self.recordings.recorder(info, lambda *what: self.told.append(what))

    def path(self, session: str = SESSION, part: str = "7-0") -> Path:
        return self.root / "acme" / session / part / "recording.json"

    def manifest(self, session: str = SESSION, part: str = "7-0") -> Manifest:
        found = read_manifest(self.path(session, part))
        assert found is not None
        return found


def speak(recorder: Recorder, count: int, first: int = 0, payload: bytes = SILENCE_20_MS) -> None:
    for number in range(first, first + count):
        recorder.hear(Frame(number, number * 960, 0, 960, 0, 0, payload))


@asynccontextmanager
async def site(root: Path, **settings: Any) -> AsyncIterator[Site]:
    here = Site(root, **settings)
    try:
        yield here
    finally:
        await here.recordings.close()


async def ended(here: Site) -> Manifest:
    def known() -> Manifest | None:
        found = read_manifest(here.path())
        return None if found is None or found.state == "recording" else found

    return await until(known, what="the recording's end")


async def test_a_call_that_ends_leaves_a_whole_recording(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        recorder = here.recorder()
        recorder.connected()
        speak(recorder, 100)
        recorder.hear(Frame(50, 50 * 960, 0, 960, 0, REPAIR, SILENCE_20_MS))  # it is there already: too late
        recorder.hand_on()
        recorder.end("session_ended")
        found = await ended(here)
    assert (found.state, found.reason, found.project, found.part) == ("complete", "session_ended", "acme", "7-0")
    assert [track.track for track in found.tracks] == ["caller", "agent"]
    assert found.tracks[0].seconds == pytest.approx(2.0, abs=0.2)
    assert found.dropped == {"too_late": 1}
    assert here.told == [("started", ""), ("ended", "session_ended")]
    folder = tmp_path / "acme" / SESSION / "7-0"
    assert {path.name for path in folder.iterdir()} == {"caller.ogg", "agent.ogg", "recording.json"}
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}


async def test_who_never_connected_is_not_recorded(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        recorder = here.recorder()
        recorder.end("session_ended")
        assert here.told == []
    assert not await asyncio.to_thread(lambda: list(tmp_path.iterdir()))


async def test_a_caller_at_another_edge_is_told_again(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        recorder = here.recorder()
        recorder.connected()
        recorder.connected()
        recorder.end("too_long")
        recorder.connected()
    assert here.told == [("started", ""), ("started", ""), ("ended", "too_long"), ("ended", "too_long")]


@pytest.mark.parametrize(
    ("settings", "reason"), [({"longest_s": 1.0}, "too_long"), ({"most_bytes": 64 << 10}, "too_large")]
)
async def test_a_limit_ends_the_recording_and_says_so(tmp_path: Path, settings: dict[str, Any], reason: str) -> None:
    async with site(tmp_path, **settings) as here:
        recorder = here.recorder()
        recorder.connected()
        speak(recorder, 600, payload=b"\xf8" + bytes(250))
        recorder.hand_on()
        await until(lambda: recorder.over, what="the limit")
        found = await ended(here)
        speak(recorder, 10, 600)  # the call goes on
    assert (found.state, found.reason) == ("incomplete", reason)
    assert here.told[-1] == ("ended", reason)


async def test_a_disk_that_is_too_slow_ends_the_recording_and_not_the_call(tmp_path: Path) -> None:
    goes_on = threading.Event()

    class Slow(OggTrack):
        def place(self, at: int, duration: int, payload: bytes, *, bridge: bool) -> bool:
            assert goes_on.wait(60)
            return super().place(at, duration, payload, bridge=bridge)

    async with site(tmp_path, open_track=Slow) as here:
        recorder = here.recorder()
        recorder.connected()
        speak(recorder, 300)
        recorder.hand_on()
        speak(recorder, MOST_UNWRITTEN, 300)
        recorder.hand_on()  # does not wait
        assert recorder.over
        assert here.told[-1] == ("failed", "disk_slow")
        goes_on.set()
        found = await ended(here)
    assert (found.state, found.reason) == ("incomplete", "disk_slow")
    assert found.dropped == {"disk_slow": MOST_UNWRITTEN}
    assert found.tracks[0].seconds == pytest.approx(6.0, abs=0.5), "what was written before stays"


async def test_a_disk_that_fails_ends_one_recording_and_not_the_others(tmp_path: Path) -> None:
    other = "ses_frankfurt_" + "1" * 20
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / SESSION).write_text("not a folder")
    async with site(tmp_path) as here:
        broken, whole = here.recorder(), here.recorder(other)
        broken.connected()
        whole.connected()
        speak(whole, 10)
        await until(lambda: broken.over, what="the failure")
        whole.end("session_ended")
    assert here.manifest(other).state == "complete"
    assert ("failed", "disk_failed") in here.told


async def test_a_worker_that_stops_finishes_what_it_records(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        recorder = here.recorder()
        recorder.connected()
        speak(recorder, 50)
    assert here.manifest().state == "complete"


async def test_a_takeover_and_the_next_epoch_are_parts_of_their_own(tmp_path: Path) -> None:
    begun = [(7, 0), (7, 1), (8, 0)]
    async with site(tmp_path) as here:
        for epoch, takeovers in begun:
            recorder = here.recorder(epoch=epoch, takeovers=takeovers)
            recorder.connected()
            speak(recorder, 10)
            recorder.end("session_ended")
    parts = await DiskStore(tmp_path).parts("acme", SESSION)
    assert [part.part for part in parts] == ["7-0", "7-1", "8-0"]
    assert {part.state for part in parts} == {"complete"}


@given(st.lists(st.tuples(st.integers(0, 1 << 53), st.integers(0, 999)), unique=True))
def test_parts_have_a_name_each_and_an_order(begun: list[tuple[int, int]]) -> None:
    names = [part_name(*one) for one in begun]
    assert len(set(names)) == len(begun)
    assert [part_order(name) for name in sorted(names, key=part_order)] == sorted(begun)


async def test_the_cluster_hears_of_recordings_once(tmp_path: Path, valkey: EmbeddedValkey) -> None:
    async with Cluster(valkey.url) as cluster, kept(cluster, edge(), worker()), site(tmp_path) as here:
        members = await cluster.members()
        claim = await cluster.claim(
            SESSION, agent="echo", edges=[members.edges[0].id], workers=[members.workers[0].id], project="acme",
            recording=True,
        )  # fmt: skip
        running = asyncio.create_task(here.recordings.keep(cluster))
        recorder = here.recorder(epoch=claim.epoch)
        recorder.connected()
        speak(recorder, 10)
        recorder.end("session_ended")
        await here.recordings.wait_settled()
        await cluster.session(SESSION).note_recording(part_name(claim.epoch, 0), "ended", {"worker": "worker-a"})
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        page = await cluster.events.after("0-0", project="acme", members=False)
        told = [(event.type, event.data) for event in page.events if event.type.startswith("recording.")]
        assert [kind for kind, _ in told] == ["recording.started", "recording.ended"]
        same = {"session": SESSION, "part": f"{claim.epoch}-0", "worker": "worker-a"}
        assert told[0][1] == same
        assert told[1][1] == {**same, "reason": "session_ended", "complete": True}
        record = await cluster.session(SESSION).record()
        assert record is not None
        assert record.recording
        assert record.recorded[f"{claim.epoch}-0"]["where"] == str(tmp_path / "acme" / SESSION / f"{claim.epoch}-0")
        assert (await cluster.events.after("0-0", project="other", members=False)).events == ()
