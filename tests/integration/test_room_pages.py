"""Two pages in one room: Chromium through the browser SDK, over a real cluster."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support import speech
from tests.support.browser import CHROMIUM, WHY_SKIPPED, chromium
from tests.support.wait import until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Page

    from tests.support.cluster import LocalCluster

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason=WHY_SKIPPED)]

# A tone for a voice, and an ear that tells how much of what each slot brings is of a frequency.
_PAGE = """
async (hertz) => {
  const { connect } = await import("/sdk/antiphon.js");
  const context = new AudioContext();
  const source = new OscillatorNode(context, { frequency: hertz });
  const voice = context.createMediaStreamDestination();
  source.connect(voice);
  source.start();
  window.call = connect({ room: "pages", slots: 2, audio: voice.stream });
  await window.call.ready;
  const streams = () => window.call.voices.flatMap(({ stream }) => stream ?? []);
  window.level = (frequency) => Promise.all(streams().map(async (stream) => {
    const ear = context.createAnalyser();
    ear.fftSize = 8192;
    const heard = context.createMediaStreamSource(stream);
    heard.connect(ear);
    await new Promise((resolve) => setTimeout(resolve, 400));
    const bins = new Float32Array(ear.frequencyBinCount);
    ear.getFloatFrequencyData(bins);
    heard.disconnect();
    return bins[Math.round((frequency * ear.fftSize) / context.sampleRate)];
  })).then((levels) => Math.max(-200, ...levels));
  return window.call.session.id;
}
"""
LOUD_DB, QUIET_DB = -45, -65


async def level(page: Page, hertz: int) -> float:
    return float(await page.evaluate("(hertz) => level(hertz)", hertz))


async def hears(page: Page, hertz: int) -> bool:
    return await level(page, hertz) > LOUD_DB


async def members(page: Page) -> dict[str, Any]:
    told: list[dict[str, Any]] = await page.evaluate("call.members")
    return {member["session"]: member for member in told}


async def test_two_pages_in_a_room_hear_each_other_and_see_who_is_there(cluster: LocalCluster) -> None:
    async with chromium() as browser:
        pages = [await browser.new_page() for _ in range(2)]
        tones = (440, 1_000)
        sessions = []
        for page, hertz in zip(pages, tones, strict=True):
            await page.goto(cluster.url)
            sessions.append(await page.evaluate(_PAGE, hertz))
        for at, page in enumerate(pages):
            own, other = tones[at], tones[1 - at]
            await until(partial(hears, page, other), every=0.2, what=f"{other} Hz")
            assert await level(page, own) < QUIET_DB, "nobody hears himself"
            found = await members(page)
            assert set(found) == set(sessions)
            voices = await page.evaluate("call.voices.map(({ session }) => session)")
            assert voices == [sessions[1 - at], None]

        await pages[0].evaluate("call.mute()")

        async def muted() -> bool:
            return bool((await members(pages[1]))[sessions[0]]["muted"])

        await until(muted, what="the other page sees who is muted")

        async def silent() -> bool:
            return await level(pages[1], tones[0]) < QUIET_DB

        await until(silent, every=0.2, what="the muted tone to cease")
        await pages[0].evaluate("call.hangUp()")

        async def alone() -> bool:
            return set(await members(pages[1])) == {sessions[1]}

        await until(alone, what="the other page sees who left")
        for page in pages:
            await page.close()


async def test_the_console_shows_the_room_and_mutes_members(cluster: LocalCluster, tmp_path: Path) -> None:
    pcm = np.concatenate([speech.silence(1.0, 48000), speech.say("Anybody here?", 48000), speech.silence(60, 48000)])
    microphone = speech.write_wav(tmp_path / "microphone.wav", pcm, 48000)
    async with chromium(microphone) as browser:
        pages = [await browser.new_page(permissions=["microphone"]) for _ in range(2)]
        for page in pages:
            await page.goto(cluster.url)
            await page.locator("#room").fill("console")
            await page.locator("#room-agent").uncheck()
            await page.locator("#talk:enabled").click()
            await page.locator("#room-card").wait_for(state="visible")
        first = pages[0]
        await first.locator("#members li").nth(1).wait_for()
        assert await first.locator("#room-title").text_content() == "Room console"
        assert await first.locator("#members li b", has_text="You").count() == 1
        other = first.locator("#members li", has_not=first.get_by_text("You", exact=True))
        await other.get_by_role("button", name="Mute").click()
        await first.locator("#members li i", has_text="muted").wait_for()
        for page in pages:
            await page.locator("#talk").click()
            await page.locator("#room-card").wait_for(state="hidden")
            await page.close()
