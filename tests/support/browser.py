"""Headless Chromium with a wav file as its microphone, and an ear on what comes back."""

from __future__ import annotations

import base64
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import numpy as np
from playwright.async_api import Browser, Page, async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from numpy.typing import NDArray

RATE = 16000
"""Of what `heard` returns."""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WHY_SKIPPED = "the console is tested in Chromium: install chromium (Debian: apt-get install chromium; README: optional)"

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
)

# A ScriptProcessor and no AudioWorklet: a worklet is a file of its own, which the page's CSP does not let a test bring.
_EAR = """
(() => {
  const pieces = [];
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...given) {
      super(...given);
      window.peer = this;
      this.addEventListener("track", ({ streams }) => {
        const context = new AudioContext({ sampleRate: RATE });
        const processor = context.createScriptProcessor(2048, 1, 1);
        processor.onaudioprocess = ({ inputBuffer }) => pieces.push(inputBuffer.getChannelData(0).slice());
        context.createMediaStreamSource(streams[0]).connect(processor);
        processor.connect(context.destination);
      });
    }
  };
  window.heard = () => {
    const bytes = new Uint8Array(pieces.length * 4096);
    const view = new DataView(bytes.buffer);
    pieces.forEach((piece, at) =>
      piece.forEach((sample, i) => view.setInt16(at * 4096 + 2 * i, Math.max(-1, Math.min(1, sample)) * 32767, true)));
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return btoa(text);
  };
})();
"""


@asynccontextmanager
async def chromium(microphone: Path | None = None) -> AsyncIterator[Browser]:
    """Plays `microphone` once, from when a page opens it; without a file Chromium beeps each second."""
    file = () if microphone is None else (f"--use-file-for-fake-audio-capture={microphone}%noloop",)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*_FLAGS, *file])
        try:
            yield browser
        finally:
            await browser.close()


async def listen(page: Page) -> None:
    """Before the page is loaded: keeps what its calls bring to the speaker for `heard`."""
    await page.add_init_script(_EAR.replace("RATE", str(RATE)))


async def heard(page: Page) -> NDArray[np.int16]:
    """Everything that came since the call began, mono at RATE."""
    return np.frombuffer(base64.b64decode(await page.evaluate("heard()")), "<i2")


def envelope(pcm: NDArray[np.int16], rate: int = RATE) -> NDArray[np.float64]:
    """Loudness each 20 ms, over 100 ms: what a codec, voice processing and a busy machine's glitches leave alike."""
    frame = rate // 50
    frames = pcm[: len(pcm) // frame * frame].astype(np.float64).reshape(-1, frame)
    loudness = np.sqrt((frames**2).mean(axis=1))
    smooth: NDArray[np.float64] = np.convolve(loudness, np.full(5, 0.2), "same")
    return smooth


def likeness(said: NDArray[np.float64], came: NDArray[np.float64]) -> float:
    """The best correlation of one envelope with any stretch of the other: 0.85 for the same words, else below 0.6."""
    best = 0.0
    for at in range(len(came) - len(said) + 1):
        stretch = came[at : at + len(said)]
        if stretch.std() > 0:
            best = max(best, float(np.corrcoef(said, stretch)[0, 1]))
    return best
