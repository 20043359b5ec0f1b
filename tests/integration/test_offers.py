"""Offers and ICE restarts over the whole way, from HTTP to the media plane and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from antiphon.client import Caller
from tests.integration.test_calls import heard, sentence

if TYPE_CHECKING:
    from tests.support.cluster import LocalCluster


async def offer() -> str:
    """A real offer with audio and a data channel."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        peer.addTransceiver("audio", direction="sendrecv")
        peer.createDataChannel("antiphon")
        await peer.setLocalDescription(await peer.createOffer())
        return str(peer.localDescription.sdp)
    finally:
        await peer.close()


async def post(cluster: LocalCluster, sdp: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        return await http.post(
            f"{cluster.url}/v1/sessions",
            params={"agent": "echo"},
            content=sdp,
            headers={"Content-Type": "application/sdp"},
        )


async def test_an_offer_without_candidates_is_answered_with_one_of_the_edge_s(cluster: LocalCluster) -> None:
    trickle = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", await offer())
    response = await post(cluster, trickle)
    assert response.status_code == 201
    assert response.headers["Content-Type"].startswith("application/sdp")
    assert "ETag" in response.headers
    answer = response.text
    assert "a=ice-lite" in answer
    assert "a=setup:passive" in answer
    assert re.search(r"a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 \d+ typ host", answer)
    assert cluster.delete(response.headers["Location"]).status_code == 204


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"a=fingerprint:.*\r\n", "fingerprint"),
        (r"a=ice-ufrag:.*\r\n", "ice-ufrag"),
        (r"a=ice-pwd:.*\r\n", "ice-pwd"),
        (r"opus/48000/2", "[Oo]pus"),
        (r"^v=0\r\n", "v=0"),
    ],
)
async def test_what_an_offer_lacks_is_named(cluster: LocalCluster, pattern: str, words: str) -> None:
    broken = re.sub(pattern, "" if "opus" not in pattern else "speex/16000", await offer())
    response = await post(cluster, broken)
    assert response.status_code == 400
    problem: dict[str, Any] = response.json()
    assert problem["code"] == "bad_offer"
    assert re.search(words, problem["detail"])


async def test_an_ice_restart_gives_new_credentials_and_the_call_goes_on(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="echo") as call:
        credentials = "a=ice-ufrag:n3wU\r\na=ice-pwd:0123456789abcdef01234567\r\n"
        fragment = credentials + "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n"
        headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            response = await http.patch(f"{cluster.url}/v1/sessions/{call.session}", content=fragment, headers=headers)
        assert response.status_code == 200
        assert re.search(r"a=ice-ufrag:\S{8,}\r\n", response.text)
        assert re.search(r"a=ice-pwd:\S{22,}\r\n", response.text)
        said = sentence("Still the same call.")
        await call.play(said)
        await heard(call, said, 0.9)
