"""Ways to an edge over a real cluster: what the API tells of them, and a call that reaches the wrong edge."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from antiphon.client import RATE, Caller
from tests.support.browser import CHROMIUM, WHY_SKIPPED, chromium, listen
from tests.support.compare import likeness
from tests.support.speech import say
from tests.support.wait import until

if TYPE_CHECKING:
    from tests.support.cluster import LocalCluster

# UDP is blocked as far as the page can tell: it never hears of an address over UDP.
_WITHOUT_UDP = """
const set = RTCPeerConnection.prototype.setRemoteDescription;
RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
  return set.call(this, { type, sdp: sdp.replace(/^a=candidate:\\S+ 1 udp .*\\r\\n/gm, "") });
};
"""
# Returns the protocol of the pair once a second of audio has come back over it.
_CALL = """async () => {
  const { connect } = await import("/sdk/antiphon.js");
  await connect({ agent: "echo" }).ready;
  for (;;) {
    const report = await window.peer.getStats();
    const find = (wanted) => [...report.values()].find(({ type }) => type === wanted);
    const pair = report.get(find("transport")?.selectedCandidatePairId);
    if (find("inbound-rtp")?.packetsReceived > 50 && pair) return report.get(pair.remoteCandidateId).protocol;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}"""


async def edges(cluster: LocalCluster) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False) as http:
        response = await http.get(f"{cluster.url}/v1/edges")
    return {edge["id"]: edge for edge in response.json()["edges"]}


async def test_edges_tell_their_addresses(cluster: LocalCluster) -> None:
    for edge in (await edges(cluster)).values():
        for addresses in (edge["media"], edge["tcp"]):
            assert len(addresses) == 1
            assert re.fullmatch(r"127\.0\.0\.1:\d+", addresses[0])


async def test_a_call_that_reaches_the_wrong_edge_is_carried_by_it(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await edges(cluster)
    right, wrong = (known[f"edge-{region}"]["media"][0].replace(":", " ") for region in ("frankfurt", "virginia"))
    said = say("The quick brown fox jumps over the lazy dog.", RATE)
    call = Caller(cluster.url, agent="echo", region="frankfurt")
    create = call._api.create

    async def misled(*args: Any, **options: Any) -> Any:
        placed = await create(*args, **options)
        assert f" {right} typ host" in placed.sdp
        return dataclasses.replace(placed, sdp=placed.sdp.replace(f" {right} typ host", f" {wrong} typ host"))

    monkeypatch.setattr(call._api, "create", misled)
    async with call:
        assert call.edge == "edge-frankfurt"
        await call.play(said)

        async def alike() -> bool:
            return likeness(said, call.recording()) > 0.8

        await until(alike, every=0.25, what="hearing what was said")
        statistics = await call.statistics()
    assert statistics.lost == 0


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason=WHY_SKIPPED)
async def test_chromium_calls_over_tcp_where_udp_is_blocked(cluster: LocalCluster) -> None:
    async with chromium() as browser:
        page = await browser.new_page(permissions=["microphone"])
        await listen(page)
        await page.add_init_script(_WITHOUT_UDP)
        await page.goto(cluster.url)
        assert await page.evaluate(_CALL) == "tcp"
