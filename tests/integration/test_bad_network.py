"""A browser on a bad network: between Chromium and the edge stands the impairer, which loses a packet in twenty."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.interop.hearing import SENTENCE, verdict
from tests.support import impaired, speech
from tests.support.browser import CHROMIUM, WHY_SKIPPED, chromium, heard, listen
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Page

    from tests.support.cluster import LocalCluster

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason=WHY_SKIPPED),
    pytest.mark.timeout(600),  # the impairer may have to be built first
]

LOSSY = "loss=5%,delay=20ms,jitter=5ms"
PATIENCE = 90
_DETOUR = """
(() => {
  const { setRemoteDescription } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    const candidates = /^a=candidate:(\\S+ \\d+ udp \\d+ \\S+) \\d+ typ/gim;
    const kept = sdp.replace(/^a=candidate:\\S+ \\d+ tcp .*\\r?\\n/gim, "");
    return setRemoteDescription.call(this, { type, sdp: kept.replace(candidates, "a=candidate:$1 PORT typ") });
  };
})();
"""
"""The answer's candidates lead to the impairer, and over UDP only."""
_CALL = """
async (agent) => {
  const { connect } = await import("/sdk/antiphon.js");
  window.call = connect({ url: location.origin, agent, region: "frankfurt" });
  await window.call.ready;
  return window.call.session.id ?? window.call.session.session;
}
"""
_STATISTICS = """
async () => {
  const all = [...(await peer.getStats()).values()];
  const one = (type) => all.find((entry) => entry.type === type && (entry.kind ?? "audio") === "audio") ?? {};
  return { outbound: one("outbound-rtp"), inbound: one("inbound-rtp") };
}
"""


@pytest.fixture
def microphone(tmp_path: Path) -> Path:
    """One sentence, again and again."""
    said = np.concatenate([speech.silence(1.0, 48000), speech.say(SENTENCE, 48000), speech.silence(0.5, 48000)])
    return speech.write_wav(tmp_path / "microphone.wav", np.tile(said, 40), 48000)


def media_port(cluster: LocalCluster) -> int:
    edge = next(edge for edge in cluster.get("/v1/edges").json()["edges"] if edge["region"] == "frankfurt")
    return int(str(edge["media"][0]).rsplit(":", 1)[1])


@asynccontextmanager
async def bad_network(cluster: LocalCluster, microphone: Path, qualities: str) -> AsyncIterator[tuple[Page, Any]]:
    with impaired.udp(f"127.0.0.1:{media_port(cluster)}", up=qualities, seed=11) as network:
        async with chromium(microphone) as browser:
            page = await browser.new_page(permissions=["microphone"])
            await listen(page)
            await page.add_init_script(_DETOUR.replace("PORT", str(network.port)))
            await page.goto(cluster.url)
            yield page, network
            await page.close()


async def test_an_echo_is_heard_at_five_percent_loss_and_both_sides_repair(
    cluster: LocalCluster, microphone: Path
) -> None:
    async with bad_network(cluster, microphone, LOSSY) as (page, network):
        session = await page.evaluate(_CALL, "echo")

        async def is_heard() -> bool:
            return verdict(await heard(page))[1]

        await until(is_heard, seconds=PATIENCE, what="the sentence, said back")

        def edge() -> dict[str, float]:
            quality: dict[str, float] = cluster.get(f"/v1/sessions/{session}").json()["quality"]
            return quality

        await until(lambda: edge()["repaired_red"] > 0, seconds=PATIENCE, what="a frame that RED repaired")
        await until(lambda: edge()["repaired_nack"] > 0, seconds=PATIENCE, what="a packet that Chromium sent again")
        await until(lambda: edge()["nacked"] > 0, seconds=PATIENCE, what="a NACK of Chromium's")
        assert network.counts()["up"]["lost"] > 0
        assert network.counts()["down"]["lost"] > 0
        seen = await page.evaluate(_STATISTICS)
        assert seen["inbound"]["nackCount"] > 0
        answer = await page.evaluate("peer.remoteDescription.sdp")
        assert re.search(r"^m=audio \d+ \S+ 63 111", answer, re.MULTILINE), "RED comes first, so that it is sent"
        await page.evaluate("call.hangUp()")
