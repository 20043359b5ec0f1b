"""`antiphon bundle`: one session's file, made over a real signaling node, and what is never in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.cli.bundle import Wish, bundle, without_secrets
from antiphon.cluster import Cluster
from tests.support.edge_double import EdgeDouble, serving
from tests.support.members import edge, kept, worker
from tests.support.signaling import OFFER, served
from tests.unit.test_recording_stores import write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from antiphon.cluster.embedded import EmbeddedValkey

AUTH = {"mode": "keys", "api_keys": {"ops": {"secret": "a-secret-of-thirty-two-characters-or-more"}}}
KEY = "ops.a-secret-of-thirty-two-characters-or-more"
HEADERS = {"Authorization": f"Bearer {KEY}"}
NOBODY = "ses_frankfurt_" + "0" * 20
TRACE = {
    "turn": 1,
    "outcome": "answered",
    "started_ms": 620.0,
    "ended_ms": 2410.0,
    "ended_by": "end_of_turn",
    "probability": 0.97,
    "response_ms": 743.1,
    "played_by": "device",
    "stages": [],
    "marks": {"token": 452.0},
}


@asynccontextmanager
async def a_call(valkey: EmbeddedValkey) -> AsyncIterator[tuple[str, str]]:
    """The URL of a signaling node and a session that lives there, with a turn."""
    async with (
        serving(EdgeDouble()) as control,
        Cluster(valkey.url) as cluster,
        kept(cluster, edge(control=control), worker()),
        served(valkey, auth=AUTH) as url,
        httpx.AsyncClient(base_url=url, headers=HEADERS) as http,
    ):
        offer = {"sdp": OFFER, "metadata": {"customer": "Mrs Example", "crm": {"key": "k-12345"}}}
        reply = await http.post("/v1/sessions", json=offer)
        assert reply.status_code == 201, reply.text
        session = str(reply.json()["id"])
        await cluster.session(session).note_turns([TRACE])
        yield url, session


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def documents(file: Path, session: str) -> dict[str, Any]:
    with tarfile.open(file) as archive:
        found = {}
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            found[member.name.removeprefix(f"{session}/")] = json.load(content)
        return found


async def test_a_bundle_has_the_session_its_placement_quality_and_turns(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    file = tmp_path / "call.tar.gz"
    async with a_call(valkey) as (url, session):
        assert await bundle(Wish(session, file, url, KEY)) == 0
    found = documents(file, session)
    assert found["session.json"]["id"] == session
    assert found["placement.json"]["edges"][0]["id"] == "edge-a"
    assert set(found["quality.json"]) == {"quality", "setup_us"}
    assert found["turns.json"] == [TRACE]
    assert [one["id"] for one in found["workers.json"]] == ["worker-a"]
    assert found["bundle.json"]["missing"] == {}
    assert found["bundle.json"]["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert file.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == [file.name]


async def test_neither_the_key_nor_metadata_is_in_it(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    file = tmp_path / "call.tar.gz"
    async with a_call(valkey) as (url, session):
        assert await bundle(Wish(session, file, url, KEY)) == 0
        found = documents(file, session)
        assert found["session.json"]["metadata"] == {"customer": "(left out)", "crm": "(left out)"}
        text = json.dumps(found)
        assert not any(word in text for word in ("a-secret-of-thirty-two", "Mrs Example", "k-12345"))
        assert await bundle(Wish(session, file, url, KEY, with_metadata=True)) == 0
        assert documents(file, session)["session.json"]["metadata"]["customer"] == "Mrs Example"


async def test_what_a_session_token_may_not_see_is_told_as_missing(
    valkey: EmbeddedValkey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "call.tar.gz"
    async with a_call(valkey) as (url, _), httpx.AsyncClient(base_url=url, headers=HEADERS) as http:
        minted = (await http.post("/v1/tokens", json={})).json()
        reply = await http.post(
            "/v1/sessions", json={"sdp": OFFER}, headers={"Authorization": f"Bearer {minted['token']}"}
        )
        session = str(reply.json()["id"])
        assert await bundle(Wish(session, file, url, minted["token"])) == 0
    found = documents(file, session)
    assert "workers.json" not in found
    assert "HTTP 403" in found["bundle.json"]["missing"]["workers.json"]
    assert "workers.json is not in it" in capsys.readouterr().err
    assert minted["token"] not in json.dumps(found)


async def test_its_recording_and_the_log_lines_that_name_it_are_in_it(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    file, log = tmp_path / "call.tar.gz", tmp_path / "worker.log"
    settings = {"enabled": True, "path": tmp_path / "recordings"}
    async with (
        a_call(valkey) as (url, session),
        served(valkey, auth=AUTH, recording=settings) as recorder,
    ):
        write(tmp_path / "recordings", session, project="default")
        log.write_text(f"session ended session={session}\nsession ended session={NOBODY}\nwith {KEY} {session}\n")
        assert await bundle(Wish(session, file, recorder, KEY, logs=[log])) == 0
        with tarfile.open(file) as archive:
            found = {member.name.removeprefix(f"{session}/"): archive.extractfile(member) for member in archive}
            read = {name: content.read() for name, content in found.items() if content is not None}
        assert read["recording/1-0-caller.ogg"] == b"call"
        assert read["recording/1-0-agent.ogg"] == b"agen"
        assert json.loads(read["recording.json"])["parts"][0]["tracks"][0]["seconds"] == 1.0
        assert read["logs/0-worker.log"].decode() == f"session ended session={session}\nwith (left out) {session}\n"
        assert await bundle(Wish(session, file, recorder, KEY, with_recording=False)) == 0
        assert not [name for name in documents(file, session) if name.startswith("recording")]
        assert await bundle(Wish(session, file, url, KEY)) == 0
        assert documents(file, session)["bundle.json"]["missing"] == {}, "none is none that is missing"


async def test_a_session_that_nobody_knows_makes_no_file(
    valkey: EmbeddedValkey, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "call.tar.gz"
    async with served(valkey) as url:
        with pytest.raises(SystemExit) as ended:
            await bundle(Wish(NOBODY, file, url))
    assert ended.value.code == 1
    assert "there is no session" in capsys.readouterr().err
    assert not file.exists()


async def test_a_folder_that_is_not_there_is_told(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with a_call(valkey) as (url, session):
        with pytest.raises(SystemExit) as ended:
            await bundle(Wish(session, tmp_path / "none" / "call.tar.gz", url, KEY))
    assert ended.value.code == 2


def test_an_id_that_is_none_is_told_in_one_line() -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}
    command = [sys.executable, "-m", "antiphon.cli", "bundle", "../edges"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert result.returncode == 2
    assert result.stderr.startswith("antiphon: '../edges' is no id of a session")
    assert result.stderr.count("\n") == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "api_key", "Password", "ice_pwd", "x"]), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(JSON)
def test_no_field_with_a_secret_s_name_keeps_its_value(document: Any) -> None:
    def look(part: Any) -> None:
        if isinstance(part, dict):
            for key, value in part.items():
                hidden = key in {"api_key", "Password", "ice_pwd"}
                assert not hidden or value == "(left out)" or not isinstance(value, str | dict | list)
                look(value)
        elif isinstance(part, list):
            for one in part:
                look(one)

    look(without_secrets(document))
