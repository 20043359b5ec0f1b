"""Recordings over HTTP: who may ask for one, who may get it, and what is told where it is out of reach."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.signaling import OFFER, SDP, signaling
from tests.support.tokens import AUTH, by_key, by_token, token_of
from tests.unit.test_recording_stores import ONE, TWO, write
from tests.unit.test_signaling_sessions import site

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon.cluster.embedded import EmbeddedValkey

ACME, GLOBEX = by_key("acme"), by_key("globex")


def recording(path: Path, **settings: Any) -> dict[str, Any]:
    return {"enabled": True, "path": path, **settings}


async def test_a_wish_reaches_the_worker_with_its_project_and_nobody_else_can_say_so(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with site(valkey, auth=AUTH, recording=recording(tmp_path)) as here:
        forged = {"antiphon.recording": {"project": "globex"}, "customer": "42"}
        for wish in ({"recording": True}, {}):
            reply = await here.http.post(
                "/v1/sessions", json={"sdp": OFFER, "region": "frankfurt", "metadata": forged, **wish}, headers=ACME
            )
            assert reply.status_code == 201, reply.text
        reply = await here.http.post("/v1/sessions?recording=true&region=frankfurt", content=OFFER, headers=SDP | ACME)
        assert reply.status_code == 201, reply.text
        told = [json.loads(one.metadata) for one in here.frankfurt.opened]
        assert told == [
            {"customer": "42", "antiphon.recording": {"project": "acme"}},
            {"customer": "42"},
            {"antiphon.recording": {"project": "acme"}},
        ]


@pytest.mark.parametrize(
    ("settings", "headers", "words"),
    [
        ({}, ACME, "recording.enabled"),
        ({"projects": ["globex"]}, ACME, "recording.projects"),
        ({"projects": ["acme"]}, by_token(token_of(agent="*")), "grant recording"),
    ],
)
async def test_a_wish_that_is_not_allowed_is_refused(
    valkey: EmbeddedValkey, tmp_path: Path, settings: dict[str, Any], headers: dict[str, str], words: str
) -> None:
    sections = {"recording": recording(tmp_path, **settings)} if settings else {}
    async with site(valkey, auth=AUTH, **sections) as here:
        reply = await here.http.post("/v1/sessions", json={"sdp": OFFER, "recording": True}, headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
        assert words in reply.json()["detail"]
        assert not here.frankfurt.opened
        assert not here.virginia.opened


async def test_a_token_with_the_grant_may_ask_but_not_listen(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with site(valkey, auth=AUTH, recording=recording(tmp_path)) as here:
        bearer = by_token(token_of(recording=True))
        reply = await here.http.post("/v1/sessions", json={"sdp": OFFER, "recording": True}, headers=bearer)
        assert reply.status_code == 201
        session = reply.json()["id"]
        write(tmp_path, session)
        assert (await here.http.get(f"/v1/sessions/{session}/recording", headers=bearer)).status_code == 403
        assert (await here.http.get(f"/v1/sessions/{session}/recording", headers=ACME)).status_code == 200


async def test_a_room_without_an_agent_cannot_be_recorded(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with site(valkey, auth=AUTH, recording=recording(tmp_path)) as here:
        reply = await here.http.post(
            "/v1/sessions", json={"sdp": OFFER, "room": "kitchen", "recording": True}, headers=ACME
        )
        assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")
        assert "agent" in reply.json()["detail"]


async def test_a_move_goes_on_being_recorded(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with site(valkey, auth=AUTH, recording=recording(tmp_path)) as here:
        bearer = by_token(token_of(recording=True))
        made = await here.http.post("/v1/sessions", json={"sdp": OFFER, "recording": True}, headers=bearer)
        moved = await here.http.post(
            f"/v1/sessions/{made.json()['id']}:move", json={"sdp": OFFER, "lost": [made.json()["edge"]]}, headers=bearer
        )
        assert moved.status_code == 200, moved.text
        opened = here.frankfurt.opened + here.virginia.opened
        assert [json.loads(one.metadata)["antiphon.recording"]["project"] for one in opened] == ["acme", "acme"]


async def test_what_is_kept_is_given_to_its_project_in_whole_and_in_part(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    write(tmp_path, ONE, "1-0", state="incomplete", reason="lost")
    write(tmp_path, ONE, "1-1")
    write(tmp_path, ONE, "2-0")
    async with signaling(valkey, auth=AUTH, recording=recording(tmp_path)) as http:
        told = (await http.get(f"/v1/sessions/{ONE}/recording", headers=ACME)).json()
        assert [(part["part"], part["state"], part["reason"]) for part in told["parts"]] == [
            ("1-0", "incomplete", "lost"),
            ("1-1", "complete", "session_ended"),
            ("2-0", "complete", "session_ended"),
        ]
        url = told["parts"][1]["tracks"][0]["url"]
        assert url == f"/v1/sessions/{ONE}/recording/1-1/caller.ogg"
        whole = await http.get(url, headers=ACME)
        assert (whole.content, whole.headers["content-type"]) == (b"call", "audio/ogg")
        assert whole.headers["cache-control"] == "private, no-store"
        some = await http.get(url, headers=ACME | {"Range": "bytes=1-2"})
        assert (some.status_code, some.content) == (206, b"al")
        for path in (f"/v1/sessions/{ONE}/recording", url):
            reply = await http.get(path, headers=GLOBEX)
            assert (reply.status_code, reply.json()["code"]) == (404, "unknown_recording")
            assert (await http.get(path)).status_code == 401


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{ONE}/recording/1-0/recording.json", 400),
        (f"{ONE}/recording/1-0/..%2fcaller.ogg", 404),
        (f"{ONE}/recording/x/caller.ogg", 400),
        (f"{ONE}/recording/1/caller.ogg", 400),
        (f"{ONE}/recording/9-0/caller.ogg", 404),
        ("..%2f..%2facme/recording", 404),
        (f"{TWO}/recording", 404),
    ],
)
async def test_nothing_else_of_the_folder_is_given(
    valkey: EmbeddedValkey, tmp_path: Path, path: str, status: int
) -> None:
    write(tmp_path, ONE)
    async with signaling(valkey, auth=AUTH, recording=recording(tmp_path)) as http:
        assert (await http.get(f"/v1/sessions/{path}", headers=ACME)).status_code == status


async def test_a_recording_is_deleted_for_good_but_not_while_it_is_made(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    write(tmp_path, ONE)
    write(tmp_path, TWO, state="recording", ended_ms=None, tracks=())
    async with signaling(valkey, auth=AUTH, recording=recording(tmp_path)) as http:
        assert (await http.delete(f"/v1/sessions/{ONE}/recording", headers=GLOBEX)).status_code == 404
        assert (await http.delete(f"/v1/sessions/{TWO}/recording", headers=ACME)).status_code == 503
        assert (await http.delete(f"/v1/sessions/{ONE}/recording", headers=ACME)).status_code == 204
        assert (await http.get(f"/v1/sessions/{ONE}/recording", headers=ACME)).status_code == 404
    assert [path.name for path in (tmp_path / "acme").iterdir()] == [TWO]


async def test_what_is_on_a_workers_own_disk_is_told_with_where_it_is(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with site(valkey, auth=AUTH, recording=recording(tmp_path)) as here:
        reply = await here.http.post("/v1/sessions", json={"sdp": OFFER, "recording": True}, headers=ACME)
        session, epoch = reply.json()["id"], reply.json()["epoch"]
        began = time.time_ns()
        facts = {"worker": "worker-a", "where": f"/var/lib/elsewhere/{began}", "state": "complete"}
        await here.cluster.session(session).note_recording(f"{epoch}-2", "ended", facts)
        (part,) = (await here.http.get(f"/v1/sessions/{session}/recording", headers=ACME)).json()["parts"]
        assert (part["part"], part["worker"], part["tracks"]) == (f"{epoch}-2", "worker-a", [])
        assert part["where"] == f"/var/lib/elsewhere/{began}"
        assert (await here.http.get(f"/v1/sessions/{session}/recording", headers=GLOBEX)).status_code == 404
