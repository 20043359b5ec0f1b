"""Where recordings are kept: in a folder, and in a bucket of a real S3-compatible server."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from antiphon.config_recording import RecordingConfig
from antiphon.errors import ConfigError
from antiphon.recordings import DiskStore, Manifest, Store, StoreError, Track, open_store, read_manifest
from antiphon.recordings.stores import SILENT_S
from antiphon.worker.recording import Recordings
from antiphon.worker.transport import CallInfo
from tests.support.signaling import signaling
from tests.support.tokens import AUTH, by_key
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from antiphon.cluster.embedded import EmbeddedValkey

ONE, TWO = ("ses_frankfurt_" + digit * 20 for digit in "12")
DAY_S = 86_400.0
needs_s3 = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("obstore", "moto", "flask")),
    reason="obstore (antiphon[s3]) or moto's server is not installed",
)


def write(root: Path, session: str, part: str = "1-0", *, project: str = "acme", **facts: Any) -> Manifest:
    known = {"ended_ms": 2_000, "state": "complete", "reason": "session_ended"}
    tracks = tuple(Track(track=name, file=f"{name}.ogg", bytes=4, seconds=1.0) for name in ("caller", "agent"))
    base = {"session": session, "project": project, "part": part, "agent": "echo", "worker": "w", "started_ms": 1_000}
    manifest = Manifest.model_validate({**base, **known, "tracks": tracks, **facts})
    folder = root / manifest.folder
    folder.mkdir(parents=True)
    for name in ("caller", "agent"):
        (folder / f"{name}.ogg").write_bytes(name[:4].encode())
    (folder / "recording.json").write_text(manifest.model_dump_json())
    return manifest


async def test_a_folder_tells_gives_deletes_and_forgets(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    older, newer = write(tmp_path, ONE, "9-1"), write(tmp_path, ONE, "10-0", ended_ms=round(time.time() * 1000))
    write(tmp_path, TWO)
    assert await store.parts("acme", ONE) == [older, newer]
    assert await store.parts("globex", ONE) == []
    link = await store.link(newer, "agent.ogg")
    assert link.file is not None
    assert link.file.read_bytes() == b"agen"
    assert await store.sweep(time.time() - DAY_S) == 2
    assert await store.parts("acme", ONE) == [newer]
    assert not (tmp_path / "acme" / TWO).exists(), "no empty folder stays"
    await store.delete("acme", ONE)
    await store.delete("acme", ONE)
    assert await store.parts("acme", ONE) == []


async def test_what_its_worker_left_unfinished_is_lost_and_not_recording_for_ever(tmp_path: Path) -> None:
    going_on = write(tmp_path, ONE, state="recording", ended_ms=None, tracks=())
    assert await DiskStore(tmp_path).parts("acme", ONE) == [going_on]
    long_ago = time.time() - SILENT_S - 60
    for path in (tmp_path / going_on.folder).iterdir():
        os.utime(path, (long_ago, long_ago))
    (found,) = await DiskStore(tmp_path).parts("acme", ONE)
    assert (found.state, found.reason) == ("incomplete", "lost")
    assert found.ended_ms == pytest.approx(long_ago * 1e3, abs=2)
    assert [(track.track, track.bytes, track.seconds) for track in found.tracks] == [
        ("caller", 4, None),
        ("agent", 4, None),
    ]
    assert await DiskStore(tmp_path).sweep(long_ago - 1) == 0
    assert await DiskStore(tmp_path).sweep(time.time()) == 1


async def test_what_is_no_manifest_is_passed_over(tmp_path: Path) -> None:
    manifest = write(tmp_path, ONE)
    (tmp_path / manifest.folder / "recording.json").write_text("{")
    assert read_manifest(tmp_path / manifest.folder / "recording.json") is None
    assert await DiskStore(tmp_path).parts("acme", ONE) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"enabled": True}, "recording.path"),
        ({"url": "https://bucket"}, "s3://"),
        ({"url": "s3://b/../../etc?x"}, "s3://"),
        ({"access_key_id": "only"}, "both"),
        ({"endpoint": "http://user:password@minio"}, "endpoint"),
        ({"retention_days": 0}, "retention_days"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RecordingConfig(**wrong)


def test_a_bucket_without_its_extra_is_refused_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "antiphon.recordings.buckets", raising=False)
    with pytest.raises(ConfigError, match=r"antiphon\[s3\]"):
        open_store(RecordingConfig(enabled=True, path=tmp_path, url="s3://bucket"))


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3-compatible server with the bucket `calls`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = (sys.executable, "-W", "ignore", "-c", "from moto.server import main; main()", "-H", "127.0.0.1")
    server = subprocess.Popen((*command, "-p", str(port)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.put(f"{url}/calls", trust_env=False).is_success:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, "the S3 server did not start"
            time.sleep(0.05)
        yield url
    finally:
        server.kill()
        server.wait()


def bucket(s3: str, path: Path, prefix: str, **more: Any) -> tuple[RecordingConfig, Store]:
    keys = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "a-secret-for-the-bucket"}
    wish = {"enabled": True, "path": path, "url": f"s3://calls/{prefix}", "endpoint": s3, "region": "us-east-1", **keys}
    config = RecordingConfig(**{**wish, **more})
    store = open_store(config)
    assert store is not None
    return config, store


@needs_s3
async def test_a_bucket_keeps_gives_deletes_and_forgets(tmp_path: Path, s3: str) -> None:
    _, store = bucket(s3, tmp_path, "one")
    old, new = write(tmp_path, ONE), write(tmp_path, TWO, ended_ms=round(time.time() * 1000) + 60_000)
    for manifest in (old, new):
        await store.keep(tmp_path / manifest.folder, manifest)
    assert await store.parts("acme", ONE) == [old]
    assert await store.parts("globex", ONE) == []
    link = await store.link(new, "caller.ogg")
    assert link.url is not None
    assert "X-Amz-Signature" in link.url
    assert "a-secret-for-the-bucket" not in link.url
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(link.url)).content == b"call"
    assert await store.sweep(time.time() + 1) == 1
    assert (await store.parts("acme", ONE), await store.parts("acme", TWO)) == ([], [new])
    await store.delete("acme", TWO)
    assert await store.parts("acme", TWO) == []


@needs_s3
async def test_signaling_gives_signed_links_of_a_bucket(valkey: EmbeddedValkey, tmp_path: Path, s3: str) -> None:
    config, store = bucket(s3, tmp_path, "three")
    manifest = write(tmp_path, ONE)
    await store.keep(tmp_path / manifest.folder, manifest)
    settings = {**config.model_dump(), "path": tmp_path / "elsewhere"}
    acme = by_key("acme")
    async with signaling(valkey, auth=AUTH, recording=settings) as http, httpx.AsyncClient(trust_env=False) as anyone:
        (part,) = (await http.get(f"/v1/sessions/{ONE}/recording", headers=acme)).json()["parts"]
        assert part["where"] == "s3://calls/three"
        assert (await anyone.get(part["tracks"][1]["url"])).content == b"agen"
        led = await http.get(f"/v1/sessions/{ONE}/recording/1-0/caller.ogg", headers=acme)
        assert led.status_code == 307
        assert (await anyone.get(led.headers["location"])).content == b"call"
        assert (await http.get(f"/v1/sessions/{ONE}/recording", headers=by_key("globex"))).status_code == 404
        assert (await http.delete(f"/v1/sessions/{ONE}/recording", headers=acme)).status_code == 204
    assert await store.parts("acme", ONE) == []


@needs_s3
async def test_a_bucket_that_is_away_says_so_without_its_secrets(tmp_path: Path) -> None:
    _, store = bucket("http://127.0.0.1:1", tmp_path, "away")
    with pytest.raises(StoreError, match="s3://calls/away cannot be reached") as told:
        await store.parts("acme", ONE)
    assert "secret" not in str(told.value)


@needs_s3
async def test_what_is_finished_goes_to_the_bucket_and_what_was_left_behind_too(tmp_path: Path, s3: str) -> None:
    config, store = bucket(s3, tmp_path, "two")
    behind = write(tmp_path, ONE)
    recordings = Recordings(config, store)
    keeping = asyncio.create_task(recordings._upload())
    info = CallInfo(TWO, 3, "echo", {}, "", "edge-f", "frankfurt", "worker-a", recording="acme")
    recorder = recordings.recorder(info, lambda *_: None)
    recorder.connected()
    recorder.end("session_ended")

    async def both() -> bool:
        return bool(await store.parts("acme", ONE)) and bool(await store.parts("acme", TWO))

    await until(both, what="both in the bucket")
    await until(lambda: not list(tmp_path.glob("acme/*/*")), what="nothing left in the folder")
    assert (await store.parts("acme", ONE))[0] == behind
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await recordings.close()
    shutil.rmtree(tmp_path, ignore_errors=True)
