"""A WHIP-like caller on GStreamer's webrtcbin: plays an Ogg Opus file to an agent and records what comes back.

Run by the system's Python, which has GStreamer's bindings; it imports nothing else. Its last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
import urllib.request
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402 - versions are said first

PATIENCE = 20.0


class Caller:
    """One call. Signals come on GStreamer's own threads."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.gathered, self.connected = threading.Event(), threading.Event()
        self.messages: list[str] = []
        self.replies: list[Any] = []  # their values live no longer than they
        self.pipeline = Gst.parse_launch(
            f"webrtcbin name=peer bundle-policy=max-bundle latency=100 "
            f"filesrc location={arguments.play} ! oggdemux ! opusparse ! rtpopuspay pt=111 "
            f"! application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000 ! peer."
        )
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("pad-added", self.on_pad)
        self.peer.connect("notify::ice-gathering-state", self.on_gathering)
        self.peer.connect("notify::connection-state", self.on_connection)
        self.peer.connect("on-new-transceiver", lambda _peer, one: one.set_property("do-nack", True))

    def run(self) -> dict[str, Any]:
        self.pipeline.set_state(Gst.State.READY)
        channel = self.peer.emit("create-data-channel", "antiphon", None)
        channel.connect("on-message-string", lambda _channel, text: self.messages.append(text))
        channel.connect("on-open", lambda one: one.emit("send-string", json.dumps({"app": {"data": {"number": 7}}})))
        for at in range(16):
            one = self.peer.emit("get-transceiver", at)
            if one is None:
                break
            one.set_property("do-nack", True)
        self.pipeline.set_state(Gst.State.PLAYING)
        offer = self.asked("create-offer", None).get_value("offer")
        self.asked("set-local-description", offer)
        if not self.gathered.wait(PATIENCE):
            raise RuntimeError("candidates were not gathered")
        session, answer = self.post(self.peer.get_property("local-description").sdp.as_text())
        _, sdp = GstSdp.SDPMessage.new_from_text(answer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.asked("set-remote-description", description)
        if not self.connected.wait(PATIENCE):
            raise RuntimeError(f"not connected: {self.peer.get_property('connection-state').value_nick}")
        print(json.dumps({"session": session}), flush=True)
        time.sleep(self.arguments.seconds)
        told = {"session": session, "messages": self.messages, "statistics": self.statistics(), "answer": answer}
        self.pipeline.send_event(Gst.Event.new_eos())
        time.sleep(0.5)
        self.pipeline.set_state(Gst.State.NULL)
        return told

    def asked(self, signal: str, argument: Any) -> Any:
        promise = Gst.Promise.new()
        self.peer.emit(signal, argument, promise)
        promise.wait()
        reply = promise.get_reply()
        self.replies.append(reply)
        if reply is not None and reply.has_field("error"):
            raise RuntimeError(f"{signal}: {reply.get_value('error')}")
        return reply

    def post(self, offer: str) -> tuple[str, str]:
        url = f"{self.arguments.url}/v1/sessions?agent={self.arguments.agent}"
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {self.arguments.token}"}
        request = urllib.request.Request(url, offer.encode(), headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.headers["Location"].rsplit("/", 1)[1], response.read().decode()

    def on_gathering(self, *_: Any) -> None:
        if self.peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            self.gathered.set()

    def on_connection(self, *_: Any) -> None:
        if self.peer.get_property("connection-state") == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
            self.connected.set()

    def on_pad(self, _peer: Any, pad: Any) -> None:
        """What comes back is decoded, with FEC and concealment as opusdec does them, and written down."""
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        record = Gst.parse_bin_from_description(
            f"rtpopusdepay ! opusdec use-inband-fec=true plc=true ! audioconvert ! audioresample "
            f"! audio/x-raw,format=S16LE,rate=16000,channels=1 ! filesink location={self.arguments.record}",
            True,
        )
        self.pipeline.add(record)
        record.sync_state_with_parent()
        pad.link(record.get_static_pad("sink"))

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Numbers and texts by the kind of report."""
        found: dict[str, dict[str, Any]] = {}
        report = self.asked("get-stats", None)
        for index in range(report.n_fields()):
            name = report.nth_field_name(index)
            one = report.get_value(name)
            if not isinstance(one, Gst.Structure):
                continue
            kind = one.get_value("type").value_nick if one.has_field("type") else name
            told = found.setdefault(kind, {})
            for at in range(one.n_fields()):
                key = one.nth_field_name(at)
                value = one.get_value(key)
                if isinstance(value, int | float | str):
                    told[key] = value
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("url", "token", "agent", "play", "record"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seconds", type=float, default=10.0)
    Gst.init(None)
    print(json.dumps(Caller(parser.parse_args()).run()))


if __name__ == "__main__":
    main()
