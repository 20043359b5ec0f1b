"""A cluster with keys: the Python SDK and the console call it with session tokens, and hear what these grant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.async_api import expect

from antiphon.client import Caller, CallRefusedError
from antiphon.client.connection import Connection
from tests.integration.test_calls import heard, sentence
from tests.support.browser import CHROMIUM, WHY_SKIPPED, chromium
from tests.support.certificates import Authority
from tests.support.cluster import LocalCluster
from tests.support.tokens import AUTH, by_key, by_token, token_of
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON = 15_000


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """`antiphon up` with all of the door: keys of two projects in a file, mutual TLS, signed registration."""
    folder = tmp_path_factory.mktemp("door")
    keys = folder / "keys.yaml"
    keys.write_text(json.dumps(AUTH["api_keys"]))
    tls = Authority().issue(folder / "tls").settings
    env = {
        "ANTIPHON_AUTH__MODE": "keys",
        "ANTIPHON_AUTH__KEY_FILES": json.dumps([str(keys)]),
        "ANTIPHON_REGISTRATION_SECRETS": '["registration-secret"]',
        **{f"ANTIPHON_{of}_TLS__{name.upper()}": path for of in ("CONTROL", "LINK") for name, path in tls.items()},
    }
    agents = Path(__file__).with_name("agents.py")
    with LocalCluster("--agents", str(agents), env=env) as running:
        yield running


def asking(cluster: LocalCluster, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=cluster.url, headers=headers, trust_env=False)


async def quality_of(call: Caller, http: httpx.AsyncClient) -> dict[str, float]:
    found: dict[str, float] = (await http.get(f"/v1/sessions/{call.session}")).json()["quality"]
    return found


async def test_a_call_with_a_token_hears_its_agent_in_a_projects_room(guarded: LocalCluster) -> None:
    said = sentence("The quick brown fox jumps over the lazy dog.")
    token = token_of("signer", agent="echo", room="kitchen")
    async with Caller(guarded.url, agent="echo", room="kitchen", token=token) as call:
        await call.play(said)
        await heard(call, said, 0.9)
        async with asking(guarded) as http:
            room = (await http.get("/v1/rooms/kitchen", headers=by_key("acme"))).json()
            assert [member["session"] for member in room["members"]] == [call.session]
            assert (await http.get("/v1/rooms/kitchen", headers=by_key("globex"))).status_code == 404


async def test_a_call_without_a_token_or_beyond_it_is_refused(guarded: LocalCluster) -> None:
    for token, words in ((None, "is needed"), (token_of(), "does not let its bearer call the agent echo")):
        with pytest.raises(CallRefusedError, match=words):
            await Caller(guarded.url, agent="echo", token=token).connect()


async def test_who_may_not_subscribe_is_sent_no_audio(guarded: LocalCluster) -> None:
    token = token_of(agent="echo", subscribe=False)
    async with (
        Caller(guarded.url, agent="echo", token=token) as call,
        asking(guarded, **by_token(token)) as http,
    ):
        await call.play(sentence("The quick brown fox jumps over the lazy dog."))

        async def echoed() -> bool:
            quality = await quality_of(call, http)
            return bool(quality.get("packets_in", 0) > 50 and quality.get("refused_not_ready", 0) > 0)

        await until(echoed, what="the edge to have the caller's voice, and to refuse the echo's")
        quality = await quality_of(call, http)
        assert quality["packets_out"] == 0
        assert call.hearing.last_audible_at is None


async def test_who_may_not_publish_is_not_heard_though_it_sends(
    guarded: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[str] = []
    accept = Connection.accept

    async def disobey(self: Connection, answer: str) -> None:
        answers.append(answer)
        await accept(self, answer.replace("a=sendonly", "a=sendrecv"))

    monkeypatch.setattr(Connection, "accept", disobey)
    token = token_of(agent="echo", publish=False)
    async with (
        Caller(guarded.url, agent="echo", token=token) as call,
        asking(guarded, **by_token(token)) as http,
    ):
        await call.play(sentence("The quick brown fox jumps over the lazy dog."))

        async def dropped() -> bool:
            quality = await quality_of(call, http)
            return bool(quality.get("unpublished", 0) > 50)

        await until(dropped, what="the edge to drop the caller's voice")
        quality = await quality_of(call, http)
        assert (quality["frames_in"], call.hearing.last_audible_at) == (0, None)
    assert "a=sendonly" in answers[0]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason=WHY_SKIPPED)
async def test_the_console_calls_with_a_token(guarded: LocalCluster) -> None:
    token = token_of(subject="ann", agent="echo")
    async with chromium() as browser:
        page = await browser.new_page(permissions=["microphone"])
        await page.goto(guarded.url)
        await expect(page.locator("#alert-words")).to_contain_text("session token", timeout=SOON)
        await page.locator("#key-value").fill(token)
        await page.locator("#key-value").press("Enter")
        await expect(page.locator("#cluster-words")).to_have_text("2 edges", timeout=SOON)
        await expect(page.locator('input[name="agent"]')).to_have_count(1)
        await page.locator("#talk").click()
        await expect(page.locator("#status")).to_have_text("Talking with echo", timeout=SOON)
        mine = page.locator("#sessions tr", has=page.get_by_text("you", exact=True))
        await expect(mine).to_be_visible(timeout=SOON)
        session = await mine.get_attribute("title")
        async with asking(guarded, **by_key("acme")) as http:
            listed = (await http.get("/v1/sessions")).json()["sessions"]
        assert session in [one["id"] for one in listed]
        await page.close()
