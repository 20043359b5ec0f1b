"""One call with an agent: set-up, speaking, hearing, messages, and the end."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

import aioice.ice
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole

from antiphon.client import journal
from antiphon.client.api import Api
from antiphon.client.audio import at_call_rate
from antiphon.client.device import REPORT_S, Device
from antiphon.client.errors import CallEndedError, CallError
from antiphon.client.hearing import Hearing
from antiphon.client.speaking import Speaking
from antiphon.client.statistics import Statistics, summarize

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import numpy as np
    from aiortc import RTCDataChannel, RTCRtpReceiver
    from numpy.typing import NDArray

CHANNEL = "antiphon"
_MOST_MESSAGES = 10_000
_RECORD_LOOKS, _RECORD_PAUSE_S = 3, 0.2


class Caller:
    """`async with Caller(url, agent="parrot") as call:` is a call that is connected; leaving it hangs up.

    Times are seconds since the call began, on a monotonic clock.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        agent: str | None = None,
        room: str | None = None,
        slots: int = 3,
        region: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        token: str | None = None,
        timeout: float = 20.0,
    ) -> None:
        """agent: `echo` when not said, or in a room the room's. slots: voices of a room heard at a time, at most 8.

        timeout: seconds that the set-up may take.
        """
        self._api = Api(url, token)
        self._agent = agent or (None if room else "echo")
        self._room = room
        self._asked_region = region
        self._metadata = dict(metadata or {})
        self._timeout = timeout
        self._began = time.monotonic()
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel: RTCDataChannel | None = None
        self._blackhole = MediaBlackhole()
        self._connected = asyncio.Event()
        self._changed = asyncio.Condition()
        self._ended = asyncio.Event()
        self._final: Statistics | None = None
        self._setup_ms: dict[str, float] = {}
        self.speaking = Speaking()
        self.hearing = Hearing()
        self._device = Device()
        self._reporting: asyncio.Task[None] | None = None
        self.voices = tuple(Hearing() for _ in range(slots if room else 0))
        """What came in each receive slot of the room; `journal.voices` tells whose voice that is."""
        self.journal = journal.Journal()
        self.messages: deque[Any] = deque(maxlen=_MOST_MESSAGES)
        """What the agent's code sent, as JSON values."""
        self.session = ""
        self.edge = ""
        self.region = ""
        self.worker = ""
        self.end_reason = ""

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hang_up()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def now(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self.hearing.origin

    async def connect(self) -> None:
        """Places the call and returns when media may flow. Raises CallRefusedError or CallError."""
        self._began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                await self._offer()
                await self._connected.wait()
        except TimeoutError:
            where = f"edge {self.edge}" if self.edge else "signaling"
            done = ", ".join(self._setup_ms) or "nothing"
            msg = f"no connection after {self._timeout:.0f} s with {where}; done so far: {done}"
            await self.hang_up()
            raise CallError(msg) from None
        except BaseException:
            await self.hang_up()
            raise
        if self.ended:
            await self.hang_up()
            raise CallEndedError(self.end_reason)

    async def play(self, pcm: NDArray[np.int16], rate: int = 48_000) -> tuple[float, float]:
        """Says shape (samples,) at the pace of life; returns when it was said: (begin, end).

        Raises CallEndedError when the call ends first.
        """
        begin, end = await self.speaking.play(at_call_rate(pcm, rate))
        return (begin - self.hearing.origin, end - self.hearing.origin)

    async def send(self, data: Any) -> None:  # noqa: ANN401 - any JSON value
        """Sends the agent's code a message: any JSON value."""
        await self._say(journal.app_message(data))

    async def turn(self, command: Literal["press", "release", "commit", "clear", "manual", "automatic"]) -> None:
        """A talk button, or the end of the caller's turn by command; `manual`: nothing else ends it from now on."""
        await self._say(journal.turn_message(command))

    async def mute(self, muted: bool = True) -> None:  # noqa: FBT001, FBT002 - as one says it
        """Is heard by nobody in the room, or again."""
        await self._say(journal.mute_message(muted=muted))

    async def hear(self, *sessions: str) -> None:
        """Hears only these members of the room; all of them when none are named."""
        await self._say(journal.hear_message(sessions))

    async def _say(self, message: str | bytes) -> None:
        await self.wait_for(lambda: self._channel is not None and self._channel.readyState == "open")
        assert self._channel is not None  # noqa: S101 - waited for
        self._channel.send(message)

    async def wait_for(self, condition: Callable[[], object], within: float | None = None) -> None:
        """Returns when the condition is true; it is asked at each message, change of state, and begin of a sound.

        Raises CallEndedError when the call ends first, TimeoutError after `within` seconds.
        """

        async def wait() -> None:
            async with self._changed:
                await self._changed.wait_for(lambda: condition() or self.ended)
            if not condition():
                raise CallEndedError(self.end_reason)

        await asyncio.wait_for(wait(), within)

    async def wait_ended(self) -> str:
        """Returns why the call ended, once it has."""
        await self._ended.wait()
        return self.end_reason

    async def info(self) -> dict[str, Any]:
        """What signaling knows of this session."""
        return await self._api.session(self.session)

    async def statistics(self) -> Statistics:
        """The call in numbers, also after its end."""
        if self._final is not None:
            return self._final
        steps = dict(self._setup_ms)
        if self.hearing.first_at is not None:
            first = self.hearing.origin + self.hearing.first_at - self._began
            steps["first_frame"] = 1000 * first
        return summarize((await self._peer.getStats()).values(), steps, self.hearing)

    def recording(self) -> NDArray[np.int16]:
        """What came back so far: shape (samples,) at 48 kHz, from the begin of the call."""
        return self.hearing.pcm()

    async def hang_up(self) -> None:
        """Ends the call; does nothing the second time."""
        if self._final is not None:
            return
        self._final = await self.statistics()
        try:
            if self.session and not self.ended:
                self._say_bye()
                await self._api.delete(self.session)
        except CallError:
            pass  # the edge notices by itself that we are gone
        finally:
            await self._end("bye")
            await self._peer.close()
            await self._blackhole.stop()
            await self._api.close()

    def _say_bye(self) -> None:
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(journal.bye_message())

    async def _offer(self) -> None:
        peer = self._peer
        peer.on("connectionstatechange", self._on_connection_state)
        peer.on("iceconnectionstatechange", self._on_ice_state)
        peer.on("track", self._blackhole.addTrack)
        transceiver = peer.addTransceiver(self.speaking, direction="sendrecv")
        _tap(transceiver.receiver, self.hearing, self._device, self._notify)
        for voice in self.voices:
            slot = peer.addTransceiver("audio", direction="recvonly")
            _tap(slot.receiver, voice, Device(), self._notify)
        self._channel = peer.createDataChannel(CHANNEL)
        self._channel.on("open", self._on_open)
        self._channel.on("message", self._on_message)
        _allow_loopback_only(self._api.url)
        await peer.setLocalDescription(await peer.createOffer())
        placed = await self._api.create(
            peer.localDescription.sdp,
            agent=self._agent,
            region=self._asked_region,
            metadata=self._metadata,
            room=self._room,
        )
        self._step("http")
        self.session, self.edge, self.region, self.worker = placed.session, placed.edge, placed.region, placed.worker
        await peer.setRemoteDescription(RTCSessionDescription(sdp=placed.sdp, type="answer"))
        await self._blackhole.start()

    def _step(self, name: str) -> None:
        self._setup_ms.setdefault(name, 1000 * (time.monotonic() - self._began))

    async def _on_ice_state(self) -> None:
        if self._peer.iceConnectionState in {"connected", "completed"}:
            self._step("ice")

    async def _on_connection_state(self) -> None:
        state = self._peer.connectionState
        if state == "connected" and not self._connected.is_set():
            self._step("dtls")
            for hearing in (self.hearing, *self.voices):
                hearing.begin()
            self._connected.set()
        elif state in {"failed", "closed"} and not self.ended:
            failed = "the connection failed" if state == "failed" else "the other side closed the connection"
            await self._end(self.journal.end_reason or await self._recorded_reason() or failed)
        await self._notify()

    async def _recorded_reason(self) -> str:
        """Why the session ended, from its record: a call that was ended through the API says nothing itself."""
        for _ in range(_RECORD_LOOKS):
            try:
                found = (await self._api.session(self.session)).get("reason")
            except CallError:
                return ""
            if found:
                return str(found)
            await asyncio.sleep(_RECORD_PAUSE_S)  # the edge is about to write it
        return ""

    async def _on_open(self) -> None:
        self._step("data_channel")
        self._reporting = asyncio.create_task(self._report_playout(), name="playout reports")
        await self._notify()

    async def _report_playout(self) -> None:
        """Tells the edge what was played, as long as the channel is open."""
        channel = self._channel
        while channel is not None and channel.readyState == "open":
            channel.send(self._device.report())
            await asyncio.sleep(REPORT_S)

    async def _on_message(self, text: str | bytes) -> None:
        message = journal.parse(text) if isinstance(text, str) else None
        if message is None:
            return
        self.journal.take(message, self.now())
        self.edge = self.journal.edge or self.edge
        self.worker = self.journal.worker or self.worker
        if message.WhichOneof("message") == "app":
            self.messages.append(journal.app_data(message))
        await self._notify()

    async def _end(self, reason: str) -> None:
        if not self._ended.is_set():
            self.end_reason = self.journal.end_reason or reason
            self._ended.set()
        self._connected.set()
        if self._reporting is not None:
            self._reporting.cancel()
        self.speaking.end(self.end_reason)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


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
