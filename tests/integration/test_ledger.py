"""What the edge says was heard, against a recording made at the caller, where one packet in twenty is lost."""

from __future__ import annotations

import asyncio
import logging
import statistics
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pytest

from antiphon.client import RATE, Caller
from antiphon.client.connection import Connection
from tests.integration.agents import LOWEST, RISE
from tests.integration.test_bad_network import bad_network, media_port
from tests.support import impaired, speech
from tests.support.browser import CHROMIUM, WHY_SKIPPED
from tests.support.detour import detour

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.cluster import LocalCluster

pytestmark = pytest.mark.timeout(600)  # the impairer may have to be built first

_log = logging.getLogger(__name__)

LOSSY = "loss=5%,delay=40ms,jitter=5ms"
FAR = "delay=40ms,jitter=5ms"
"""Without loss: where the word to fall silent is lost, what lies in the jitter buffer is heard."""
WITH_REPORTS_S, WITHOUT_S = 0.04, 0.12
_STOPS_MS = (1_000, 1_370, 2_100, 640, 1_730, 2_900, 1_110, 840, 1_490, 3_300)
_LOUD = 1_000
"""An eighth of the tone."""


@asynccontextmanager
async def call(cluster: LocalCluster, *, reports: bool) -> AsyncIterator[Caller]:
    """A call with the orator through the impairer. Without reports the caller is silent about what it plays."""
    with impaired.udp(f"127.0.0.1:{media_port(cluster)}", up=LOSSY, seed=7) as network:
        caller = Caller(cluster.url, agent="orator", region="frankfurt")
        detour(caller, lambda _: network.port)
        with nullcontext() if reports else patch.object(Connection, "_report_playout", _nothing):
            async with caller:
                yield caller


async def _nothing(_: Connection) -> None:
    return


async def said(caller: Caller, seconds: float, stop_after: float | None = None) -> tuple[dict[str, Any], float]:
    """Lets the orator speak. Returns what it says was heard, and how long the tone is in the recording, in seconds."""
    told, known = len(caller.messages), len(caller.hearing.stretches)
    await caller.send(seconds)
    await caller.wait_for(lambda: len(caller.hearing.stretches) > known, within=60)
    if stop_after is not None:
        await asyncio.sleep(stop_after)
        await caller.send("stop")
    await caller.wait_for(lambda: len(caller.messages) > told, within=60)
    await asyncio.sleep(0.5)  # what was sent last is still under way
    begin = round(RATE * (caller.hearing.stretches[-1].begin - 0.1))
    loud = np.flatnonzero(np.abs(caller.recording()[begin:]) > _LOUD)
    return caller.messages[-1], float(loud[-1] - loud[0] + 1) / RATE


@pytest.mark.parametrize(("reports", "bound", "by"), [(True, WITH_REPORTS_S, "device"), (False, WITHOUT_S, "estimate")])
async def test_what_was_heard_is_what_the_recording_holds(
    cluster: LocalCluster, *, reports: bool, bound: float, by: str
) -> None:
    async with call(cluster, reports=reports) as caller:
        await said(caller, 2.0)
        for stop_after in (1.0, 1.37, 2.1):
            told, recorded = await said(caller, 12.0, stop_after)
            assert told["cut"] == "stopped", told
            assert told["by"] == by
            assert told["heard"] == pytest.approx(recorded, abs=bound), told
        whole, recorded = await said(caller, 3.0)
        assert whole["cut"] is None
        assert whole["heard"] == pytest.approx(recorded, abs=bound)
        quality = (await caller.info())["quality"]
        assert quality["heard_basis"] == float(reports)
        assert (quality["device_reports"] > 0) == reports


# The page's own ear: each piece of 10 ms with the moment at which it left the jitter buffer, and when the element is
# muted. What leaves the jitter buffer after that is silence; what left it before is in the output, and is heard.
_LISTEN = """
async () => {
  const { connect } = await import("/sdk/antiphon.js");
  const { get, set } = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "muted");
  window.seen = { told: [], pieces: [], silent: null };
  Object.defineProperty(HTMLMediaElement.prototype, "muted", {
    get() { return get.call(this); },
    set(muted) {
      if (muted) seen.silent ??= performance.now();
      set.call(this, muted);
    },
  });
  window.call = connect({ url: location.origin, agent: "orator", region: "frankfurt" });
  call.addEventListener("message", ({ detail }) => seen.told.push(detail.data));
  await call.ready;
  (async () => {
    const { track } = peer.getReceivers()[0];
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    let ahead = Infinity; // of performance.now() against the pieces' clock
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      ahead = Math.min(ahead, performance.now() - value.timestamp / 1000);
      const samples = new Float32Array(value.numberOfFrames);
      value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      seen.pieces.push({ at: value.timestamp / 1000 + ahead, rate: value.sampleRate, samples });
      if (seen.pieces.length > 800) seen.pieces.shift();
      value.close();
    }
  })();
  return call.session.id;
}
"""
_SPEAK = """
async ([seconds, stopAfterMs]) => {
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  Object.assign(seen, { told: [], pieces: [], silent: null });
  for (let sent = false; !sent; await sleep(20)) try { call.send(seconds); sent = true; } catch { /* not open yet */ }
  while (call.levels.agent < -40) await sleep(5);
  await sleep(stopAfterMs);
  call.send("stop");
  while (!seen.told.length) await sleep(20);
  await sleep(600);
  const until = seen.pieces.findLastIndex(({ at }) => at <= seen.silent);
  if (until < 0) return seen.told[0];
  const last = seen.pieces.slice(Math.max(0, until - 3), until + 1);
  return {
    ...seen.told[0], rate: last[0].rate, last: last.flatMap(({ samples }) => [...samples]),
  };
}
"""


def place(samples: list[float], rate: float) -> float:
    """Which second of the orator's tone a piece of it ends in."""
    piece = np.asarray(samples)
    spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 1 << 16))
    tone = float(np.argmax(spectrum)) * rate / (1 << 16)
    return (tone - LOWEST) / RISE + len(piece) / rate / 2


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason=WHY_SKIPPED)
@pytest.mark.parametrize("network", [pytest.param(FAR, marks=pytest.mark.verify), LOSSY])
async def test_a_page_falls_silent_at_a_stop_and_the_ledger_knows_where(
    cluster: LocalCluster, tmp_path: Path, network: str
) -> None:
    quiet = speech.write_wav(tmp_path / "quiet.wav", speech.silence(120.0, 48_000), 48_000)
    async with bad_network(cluster, quiet, network) as (page, _):
        session = await page.evaluate(_LISTEN)
        await page.evaluate(_SPEAK, [2.0, 5_000])
        off = []
        for stop_after_ms in _STOPS_MS:
            told = await page.evaluate(_SPEAK, [12.0, stop_after_ms])
            assert (told["cut"], told["by"]) == ("stopped", "device")
            off.append(told["heard"] - place(told["last"], told["rate"]))
        _log.info("%s: off by %s ms", network, [round(1000 * one) for one in off])
        quality = cluster.get(f"/v1/sessions/{session}").json()["quality"]
        # The median, since a busy machine's page notices late now and then.
        assert statistics.median(map(abs, off)) <= WITH_REPORTS_S, off
        assert quality["device_reports"] > 10
        assert quality["device_buffer_ms"] > 0
        await page.evaluate("call.hangUp()")
