"""One WebRTC connection with an edge. A call has one, and two while it moves from edge to edge."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aioice.ice
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole

from antiphon.client.device import REPORT_S, Device

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiortc import MediaStreamTrack, RTCRtpReceiver

    from antiphon.client.hearing import Hearing

CHANNEL = "antiphon"
SILENT_S = 1.5
"""An edge sends something several times a second, also when nobody speaks: one that is silent for so long is lost."""
_LOOK_S = 0.25


class Connection:
    """From an offer to its end. `changed(connection)` hears of each change of state, `told(connection, message)` of
    messages on the data channel, and `heard()` when a stretch of sound begins.
    """

    def __init__(
        self,
        microphone: MediaStreamTrack,
        hearing: Hearing,
        voices: Sequence[Hearing],
        *,
        changed: Callable[[Connection], Awaitable[None]],
        told: Callable[[Connection, str], Awaitable[None]],
        heard: Callable[[], Awaitable[None]],
        step: Callable[[str], None] = lambda _: None,
        wishes: Callable[[], Sequence[bytes]] = tuple,
    ) -> None:
        """`wishes()` are messages that the edge is to have first."""
        self.edge = ""
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.room_told: dict[str, Any] = {}
        """The last that this edge said of the room, by kind, before the call was there."""
        self.connected = asyncio.Event()
        self.over = False
        """Whether it ended by itself: the edge closed it, or the path failed."""
        self.silent = False
        """Whether the edge has said nothing for `SILENT_S`."""
        self._microphone = microphone
        self._changed = changed
        self._told = told
        self._wishes = wishes
        self._step = step
        self._device = Device()
        self._blackhole = MediaBlackhole()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        peer = self.peer
        peer.on("connectionstatechange", self._on_connection_state)
        peer.on("iceconnectionstatechange", self._on_ice_state)
        peer.on("track", self._blackhole.addTrack)
        transceiver = peer.addTransceiver(microphone, direction="sendrecv")
        _tap(transceiver.receiver, hearing, self._device, heard)
        for voice in voices:
            slot = peer.addTransceiver("audio", direction="recvonly")
            _tap(slot.receiver, voice, Device(), heard)
        self.channel = peer.createDataChannel(CHANNEL)
        self.channel.on("open", self._on_open)
        self.channel.on("message", self._on_message)

    @property
    def open(self) -> bool:
        """Whether messages pass."""
        return bool(self.channel.readyState == "open" and self.peer.connectionState == "connected")

    async def offer(self, url: str) -> str:
        """SDP. url: the signaling node that will have it."""
        _allow_loopback_only(url)
        await self.peer.setLocalDescription(await self.peer.createOffer())
        sdp: str = self.peer.localDescription.sdp
        return sdp

    async def accept(self, answer: str) -> None:
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
        await self._blackhole.start()

    async def close(self) -> None:
        """May be said again."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await self.peer.close()
        await self._blackhole.stop()
        self._microphone.stop()

    async def _on_ice_state(self) -> None:
        if self.peer.iceConnectionState in {"connected", "completed"}:
            self._step("ice")

    async def _on_connection_state(self) -> None:
        state = self.peer.connectionState
        if state == "connected" and not self.connected.is_set():
            self._step("dtls")
            self._tasks.append(asyncio.create_task(self._listen(), name="edge's silence"))
            self.connected.set()
        elif state in {"failed", "closed"} and not self._closed:
            self.over = True
        await self._changed(self)

    async def _on_open(self) -> None:
        self._step("data_channel")
        for wish in self._wishes():
            self.channel.send(wish)
        self._tasks.append(asyncio.create_task(self._report_playout(), name="playout reports"))
        await self._changed(self)

    async def _on_message(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._told(self, message)

    async def _report_playout(self) -> None:
        """Tells the edge what was played, as long as the channel is open."""
        while self.open:
            self.channel.send(self._device.report())
            await asyncio.sleep(REPORT_S)

    async def _listen(self) -> None:
        """Notices when nothing comes any more."""
        received, since = -1, time.monotonic()
        while True:
            now, looked = time.monotonic(), await self._packets()
            if looked != received:
                received, since, self.silent = looked, now, False
            elif now - since > SILENT_S and not self.silent:
                self.silent = True
                await self._changed(self)
            await asyncio.sleep(_LOOK_S)
            if time.monotonic() - now > 2 * _LOOK_S:
                since = time.monotonic()  # it was this program that stood still

    async def _packets(self) -> int:
        with suppress(ConnectionError):  # of a sender that has just ended
            for report in (await self.peer.getStats()).values():
                if report.type == "transport":
                    return int(report.packetsReceived)
        return -1


def _tap(receiver: RTCRtpReceiver, hearing: Hearing, device: Device, heard: Callable[[], Awaitable[None]]) -> None:
    """Shows each RTP packet to `hearing` and `device` as it arrives, and tells `heard` when a stretch of sound begins.

    aiortc's track holds the last four packets of a talk spurt back until the next one begins, which no recording and
    no measurement can use; it has no public way to the packets before its jitter buffer.
    """
    pass_on = receiver._handle_rtp_packet  # noqa: SLF001

    async def handle(packet: Any, *args: Any, **options: Any) -> None:  # noqa: ANN401
        known = len(hearing.stretches)
        samples = hearing.packet(packet.ssrc, packet.timestamp, packet.payload)
        if len(hearing.stretches) != known:
            await heard()
        device.packet(packet.ssrc, packet.sequence_number, packet.timestamp, samples)
        await pass_on(packet, *args, **options)

    receiver._handle_rtp_packet = handle  # type: ignore[method-assign]  # noqa: SLF001


def _allow_loopback_only(url: str) -> None:
    """Lets aioice gather a loopback address, which it does not by itself; a machine without others needs it."""
    try:
        local = ipaddress.ip_address(urlsplit(url).hostname or "").is_loopback
    except ValueError:
        local = urlsplit(url).hostname == "localhost"
    if local and not aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True):
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"] if use_ipv4 else ["::1"]  # noqa: ARG005
