"""A person at the console: headless Chromium, a wav as the microphone, and a real cluster behind the page."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.async_api import Page, expect

from tests.support import speech
from tests.support.browser import CHROMIUM, RATE, WHY_SKIPPED, chromium, envelope, heard, likeness, listen
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.support.cluster import LocalCluster

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason=WHY_SKIPPED)]

SENTENCE = "One voice calls, and another answers."
SOON = 15_000


@pytest.fixture
def microphone(tmp_path: Path) -> Path:
    """Silence while the call is set up, one sentence, and silence for the answer."""
    pcm = np.concatenate([speech.silence(2.5, 48000), speech.say(SENTENCE, 48000), speech.silence(30, 48000)])
    return speech.write_wav(tmp_path / "microphone.wav", pcm, 48000)


@asynccontextmanager
async def console(
    cluster: LocalCluster, microphone: Path | None = None, *, allowed: bool = True, **context: Any
) -> AsyncIterator[Page]:
    """The page, ready to call. Whatever the browser complains of in its console fails the test."""
    complaints: list[str] = []
    async with chromium(microphone) as browser:
        page = await browser.new_page(permissions=["microphone"] if allowed else [], **context)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await listen(page)
        await page.goto(cluster.url)
        yield page
        await page.close()
    assert not complaints


async def call(page: Page, agent: str, region: str = "") -> str:
    """Chooses, presses the button, and returns the session's id once the call is up."""
    await page.locator(f'.chip:has(input[name="agent"][value="{agent}"])').click()
    await page.locator(f'.chip:has(input[name="region"][value="{region}"])').click()
    await page.locator("#talk").click()
    await expect(page.locator("#status")).to_have_text(f"Talking with {agent}", timeout=SOON)
    mine = page.locator("#sessions tr", has=page.get_by_text("you", exact=True))
    await expect(mine).to_be_visible(timeout=SOON)
    return await mine.get_attribute("title") or ""


async def heard_for(page: Page, seconds: float) -> NDArray[np.int16]:
    """What comes to the speaker from now on, for a while."""
    start = len(await heard(page))

    async def enough() -> bool:
        return len(await heard(page)) > start + seconds * RATE

    await until(enough, seconds=30, what="more sound")
    return (await heard(page))[start:]


def state_of(cluster: LocalCluster, session: str) -> str:
    response = cluster.get(f"/v1/sessions/{session}")
    return "gone" if response.status_code in {404, 410} else str(response.json()["state"])


async def test_the_parrots_answer_is_audible_and_its_turns_are_seen(cluster: LocalCluster, microphone: Path) -> None:
    async with console(cluster, microphone) as page:
        session = await call(page, "parrot")
        await page.get_by_text("As a list").click()
        await expect(page.locator("#events .you").first).to_contain_text("spoke for", timeout=30_000)
        await expect(page.locator("#events .agent").first).to_contain_text("said it all", timeout=30_000)
        await expect(page.locator("#timeline")).to_have_attribute(
            "aria-label", re.compile(r"1 turn of you, 1 utterance")
        )
        await expect(page.locator("#rtt")).to_have_text(re.compile(r"\d"))
        said = envelope(speech.say(SENTENCE, RATE))

        async def audible() -> bool:
            return likeness(said, envelope(await heard(page))) > 0.72

        await until(audible, seconds=10, what="the sentence, said back")

        await page.locator("#talk").click()
        await expect(page.locator("#status")).to_contain_text("You hung up", timeout=SOON)
        await expect(page.locator(f'[data-session="{session}"]')).to_have_count(0, timeout=SOON)
        record = cluster.get(f"/v1/sessions/{session}").json()
        assert (record["state"], record["reason"]) == ("ended", "bye")


@pytest.mark.parametrize("region", ["frankfurt", "virginia"])
async def test_the_page_tells_where_the_call_went_and_why(cluster: LocalCluster, region: str) -> None:
    async with console(cluster) as page:
        await call(page, "echo", region)
        await expect(page.locator("#route-region")).to_have_text(region)
        await expect(page.locator("#route-edge")).to_have_text(f"edge-{region}")
        await expect(page.locator("#route-worker")).to_contain_text("worker")
        await expect(page.locator("#why .chosen").first).to_contain_text(f"edge-{region}")
        await expect(page.locator("#setup-total")).to_have_text(re.compile(r"Connected in \d+"))
        trips = re.compile(r"From the offer until frames may flow: [\d.]+ ms")  # on loopback round trips are no measure
        await expect(page.locator("#round-trips")).to_have_text(trips, timeout=SOON)
        await expect(page.locator("#security")).to_have_text(re.compile(r"DTLS ?1\.[23].* (AEAD|AES)"), timeout=SOON)
        for step in ("Microphone", "Offer", "Placement, answer", "Path (ICE)", "Encryption (DTLS)", "First audio"):
            row = page.locator("#waterfall li", has_text=step)
            await expect(row.locator("b")).to_have_text(re.compile(r"[\d.]+ m?s$"), timeout=SOON)


async def test_the_map_shows_each_region_with_what_it_would_cost(cluster: LocalCluster) -> None:
    async with console(cluster) as page:
        await call(page, "echo")
        drawing = page.locator("#map svg")
        await expect(drawing).to_have_attribute("aria-label", re.compile(r"frankfurt [\d.]+ milliseconds"))
        await expect(drawing.locator(".region")).to_have_count(2)
        await expect(drawing.locator(".region.chosen title")).to_have_text(re.compile("measured by the caller"))
        await page.locator("#talk").click()


async def test_a_call_survives_an_ice_restart(cluster: LocalCluster) -> None:
    async with console(cluster) as page:
        await call(page, "echo")
        before = await page.evaluate("peer.remoteDescription.sdp")
        async with page.expect_response(lambda response: response.request.method == "PATCH") as restarted:
            await page.evaluate("dispatchEvent(new Event('online'))")
        assert (await restarted.value).ok
        await expect(page.locator("#stage")).to_have_attribute("data-state", "connected", timeout=SOON)
        assert await page.evaluate("peer.remoteDescription.sdp") != before
        assert np.abs(await heard_for(page, 2.0)).max() > 1000, "Chromium's beep comes back through the new path"


async def test_muting_sends_silence(cluster: LocalCluster) -> None:
    async with console(cluster) as page:
        await call(page, "echo")
        await page.locator("#mute").click()
        await expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
        await expect(page.locator("#status")).to_have_text("Talking with echo, muted")
        await page.wait_for_timeout(1000)  # what was on its way is played
        assert np.abs(await heard_for(page, 2.0)).max() < 300


async def test_a_session_is_ended_from_the_list_and_the_page_says_so(cluster: LocalCluster) -> None:
    async with console(cluster) as page:
        session = await call(page, "echo")
        await page.locator(f'[data-session="{session}"]').click()
        await expect(page.locator("#status")).to_contain_text("Ended through the API", timeout=SOON)
        assert state_of(cluster, session) in {"ended", "gone"}


async def test_closing_the_page_ends_the_session(cluster: LocalCluster) -> None:
    async with chromium() as browser:
        page = await browser.new_page(permissions=["microphone"])
        await page.goto(cluster.url)
        session = await call(page, "echo")
        await page.goto("about:blank")
        other = await browser.new_page()
        await other.goto(cluster.url)
        await expect(other.locator(f'[data-session="{session}"]')).to_have_count(0, timeout=SOON)
        assert state_of(cluster, session) in {"ended", "gone"}


async def test_everything_is_reached_by_keyboard(cluster: LocalCluster) -> None:
    async with console(cluster, color_scheme="light") as page:
        await expect(page.locator("#talk")).to_be_enabled(timeout=SOON)
        seen = []
        for _ in range(12):
            await page.keyboard.press("Tab")
            seen.append(await page.evaluate("document.activeElement.id || document.activeElement.name"))
        assert {"theme", "agent", "region", "talk", "timeline"} <= set(seen)

        await page.locator("#theme").press("Enter")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.locator('input[name="agent"]:checked').focus()
        await page.keyboard.press("ArrowRight")
        await page.locator("#talk").press("Enter")
        await expect(page.locator("#stage")).to_have_attribute("data-state", "connected", timeout=SOON)
        await page.evaluate("document.activeElement.blur()")
        await page.keyboard.press("Space")
        await expect(page.locator("#status")).to_contain_text("You hung up", timeout=SOON)


async def test_each_control_has_a_name(cluster: LocalCluster) -> None:
    async with console(cluster) as page:
        await page.locator("summary", has_text="Microphone and speaker").click()
        for role in ("button", "radio", "combobox", "meter"):
            for control in await page.get_by_role(role).all():
                name = await control.evaluate(
                    "e => e.ariaLabel || e.labels?.[0]?.textContent || e.textContent.trim()"
                    " || document.getElementById(e.getAttribute('aria-labelledby'))?.textContent"
                )
                assert name, await control.evaluate("e => e.outerHTML")


async def test_a_denied_microphone_is_told_in_words_and_makes_no_session(cluster: LocalCluster) -> None:
    async with console(cluster, allowed=False) as page:
        posted: list[str] = []
        page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
        await page.locator("#talk").click()
        await expect(page.locator("#alert")).to_contain_text("Microphone blocked", timeout=SOON)
        await expect(page.locator("#alert")).to_contain_text("Allow the microphone")
        await expect(page.locator("#talk-label")).to_have_text("Talk")
        assert posted == []


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (503, "no_edge", "No edge has room"),
        (503, "no_worker", "No worker has room"),
        (404, "unknown_agent", "No such agent"),
    ],
)
async def test_a_refusal_is_told_in_words(cluster: LocalCluster, status: int, code: str, words: str) -> None:
    async with chromium() as browser:
        page = await browser.new_page(permissions=["microphone"])
        problem = {"type": f"urn:antiphon:problem:{code}", "title": code, "status": status, "code": code}
        await page.route("**/v1/sessions?*", lambda route: route.fulfill(status=status, json=problem))
        await page.goto(cluster.url)
        await page.locator("#talk").click()
        await expect(page.locator("#alert")).to_contain_text(words, timeout=SOON)


async def test_without_a_cluster_the_page_makes_sense_and_recovers(cluster: LocalCluster) -> None:
    async with chromium() as browser:
        page = await browser.new_page()
        await page.route("**/v1/**", lambda route: route.abort())
        await page.goto(cluster.url)
        await expect(page.locator("#alert")).to_contain_text("No cluster at this address", timeout=SOON)
        await expect(page.locator("#talk")).to_be_disabled()
        await page.unroute("**/v1/**")
        await expect(page.locator("#talk")).to_be_enabled(timeout=SOON)
        await expect(page.locator("#alert")).to_be_hidden()
