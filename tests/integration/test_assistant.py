"""A person talks with the assistant in Chromium: asks, hums along, interrupts, and is answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.async_api import expect

from antiphon.assistant import installed
from tests.integration.test_console import call, console
from tests.support import speech
from tests.support.browser import CHROMIUM, WHY_SKIPPED
from tests.support.wait import until

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from playwright.async_api import Page

    from tests.support.cluster import LocalCluster

pytestmark = [
    pytest.mark.browser,
    pytest.mark.verify,  # a browser, a recogniser and a voice at once want a machine for themselves
    pytest.mark.timeout(330),
    pytest.mark.skipif(CHROMIUM is None, reason=WHY_SKIPPED),
    pytest.mark.skipif(not installed(), reason="the extra antiphon[assistant] has no wheels for this machine"),
]

RATE = 48_000
MM_HM = "[[m:'hm:]]"
LEAST_TOLD_S = 5.5
"""The hum comes some 4 s into the story: more was heard only if it went on."""

_TOLD = """
(() => {
  window.told = [];
  const create = RTCPeerConnection.prototype.createDataChannel;
  RTCPeerConnection.prototype.createDataChannel = function (...given) {
    const channel = create.apply(this, given);
    channel.addEventListener("message", ({ data }) => { if (typeof data === "string") told.push(data); });
    return channel;
  };
})();
"""


def script() -> NDArray[np.int16]:
    """What the person says, and when: each waits for what is said to them meanwhile."""
    pieces = [
        speech.silence(9.0, RATE),  # the greeting
        speech.say("Please tell me a story.", RATE, speed=140),
        speech.silence(6.0, RATE),  # a second of thinking, then the story
        speech.say(MM_HM, RATE),
        speech.silence(5.0, RATE),  # it goes on
        speech.say("Stop, please. What time is it now?", RATE),
        *(2 * (speech.silence(12.0, RATE), speech.say("What time is it now?", RATE))),  # who is not answered asks again
        speech.silence(60.0, RATE),
    ]
    return np.concatenate(pieces)


async def told(page: Page, kind: str) -> list[dict[str, Any]]:
    """All of a kind that the session told the page."""
    messages = [json.loads(text) for text in await page.evaluate("told")]
    return [message[kind] for message in messages if kind in message]


async def test_it_is_asked_hummed_along_to_and_interrupted(cluster: LocalCluster, tmp_path: Path) -> None:
    microphone = speech.write_wav(tmp_path / "person.wav", script(), RATE)
    if not await conversed(cluster, microphone):  # the small recogniser mishears a synthetic voice now and then
        assert await conversed(cluster, microphone), "the first question was not understood, twice"


async def conversed(cluster: LocalCluster, microphone: Path) -> bool:
    """Whether the first question was understood; all else is asserted."""
    async with console(cluster, microphone) as page:
        await page.add_init_script(_TOLD)
        await page.reload()
        await call(page, "assistant")

        async def time_told() -> bool:
            return any("It is " in one["data"].get("assistant", "") for one in await app_data(page))

        await until(time_told, seconds=90, what="the answer to the last question")
        said = await app_data(page)
        heard = [one["data"]["caller"] for one in said if "caller" in one["data"]]
        if "story" not in heard[0].lower():
            return False
        assert "time" in heard[-1].lower()
        story = next(one["data"] for one in said if "lighthouse" in one["data"].get("assistant", ""))
        assert story["cut"] == "interrupted"
        first, *_ = [one for one in await told(page, "agentUtterance") if one["state"] == "flushed"]
        assert first["heardMs"] > 1000 * LEAST_TOLD_S, "the story went on after the hum"
        await page.get_by_text("As a list").click()
        await expect(page.locator("#events .agent").first).to_be_visible()
        return True


async def app_data(page: Page) -> list[dict[str, Any]]:
    return await told(page, "app")
