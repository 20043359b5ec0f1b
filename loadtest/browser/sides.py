"""Chromium's two sides of a call on one clock: what its microphone gives, and what comes to its speaker.

In a call of the console, and between two connections of the page itself, without a server: what Chromium costs alone.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from playwright.async_api import Page

    from antiphon.opus import Pcm

RATE = 16_000

# A ScriptProcessor and no AudioWorklet: a worklet is a file of its own, which the page's CSP does not let us bring.
_SIDES = """
(() => {
  const pieces = [];
  const Native = window.RTCPeerConnection;
  const record = (said, came) => {
    const context = new AudioContext({ sampleRate: RATE });
    const both = context.createChannelMerger(2);
    [said, came].forEach((stream, at) => context.createMediaStreamSource(stream).connect(both, 0, at));
    const processor = context.createScriptProcessor(2048, 2, 1);
    processor.onaudioprocess = ({ inputBuffer }) =>
      pieces.push([0, 1].map((side) => inputBuffer.getChannelData(side).slice()));
    both.connect(processor);
    processor.connect(context.destination);
  };
  window.RTCPeerConnection = class extends Native {
    constructor(...given) {
      super(...given);
      this.addEventListener("track", ({ streams }) => {
        const sender = this.getSenders().find(({ track }) => track && track.kind === "audio");
        if (sender) record(new MediaStream([sender.track]), streams[0]);
      });
    }
  };
  window.alone = async () => {
    const said = await navigator.mediaDevices.getUserMedia({ audio: true });
    const [one, other] = [new Native(), new Native()];
    one.onicecandidate = ({ candidate }) => candidate && other.addIceCandidate(candidate);
    other.onicecandidate = ({ candidate }) => candidate && one.addIceCandidate(candidate);
    other.ontrack = ({ streams }) => {
      const speaker = new Audio();
      speaker.srcObject = streams[0];
      speaker.play();
      record(said, streams[0]);
    };
    said.getTracks().forEach((track) => one.addTrack(track, said));
    await one.setLocalDescription();
    await other.setRemoteDescription(one.localDescription);
    await other.setLocalDescription();
    await one.setRemoteDescription(other.localDescription);
    window.connections = [one, other];
  };
  window.side = (at) => {
    const samples = new Int16Array(pieces.reduce((sum, piece) => sum + piece[at].length, 0));
    let filled = 0;
    for (const piece of pieces) {
      for (const sample of piece[at]) samples[filled++] = Math.max(-1, Math.min(1, sample)) * 32767;
    }
    const bytes = new Uint8Array(samples.buffer);
    let text = "";
    for (let from = 0; from < bytes.length; from += 8192) {
      text += String.fromCharCode(...bytes.subarray(from, from + 8192));
    }
    return btoa(text);
  };
})();
"""


@dataclass(frozen=True)
class Sides:
    """Both of shape (samples,) at RATE, begun at the same moment."""

    said: Pcm
    came: Pcm


async def prepare(page: Page) -> None:
    """Before the page is loaded: whatever call it makes is recorded."""
    await page.add_init_script(_SIDES.replace("RATE", str(RATE)))


async def call_alone(page: Page) -> None:
    """The page calls itself."""
    await page.evaluate("alone()")


async def recorded(page: Page) -> Sides:
    """All since the call began."""
    said, came = [np.frombuffer(base64.b64decode(await page.evaluate(f"side({at})")), "<i2") for at in (0, 1)]
    return Sides(said, came)
