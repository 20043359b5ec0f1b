"""An edge's end of the media link, for tests and load tests, over grpc.aio."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import grpc.aio

from antiphon.opus import SILENCE_20_MS
from antiphon.wire.media.v1 import link_pb2 as pb
from antiphon.wire.media.v1 import link_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence


class LinkClient:
    """One link. Whatever the worker sends is put in `control` and `media`; `receipts` are the last, by session."""

    def __init__(self, address: str, *, edge: str = "edge-test", version: int = 1) -> None:
        self.edge = edge
        self.version = version
        self.metadata: Sequence[tuple[str, str]] = ()
        self.link = random.getrandbits(64)
        self.welcome = pb.Welcome()
        self.paces: list[int] = []
        self.control: asyncio.Queue[pb.ControlResponse] = asyncio.Queue()
        self.receipts: dict[int, int] = {}
        self.media: asyncio.Queue[pb.MediaResponse] = asyncio.Queue()
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._stub: Any = link_pb2_grpc.MediaLinkServiceStub(self._channel)
        self._streams: list[Any] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        control = self._stub.Control(metadata=self.metadata)
        self._control_stream = control
        hello = pb.Hello(edge=self.edge, region="test", link=self.link, version=self.version)
        await control.write(pb.ControlRequest(hello=hello))
        self.welcome = (await control.read()).welcome
        self.paces.append(self.welcome.pace.gather_us)
        self._tasks.append(asyncio.create_task(self._read_control()))
        for stripe in range(self.welcome.stripes):
            stream = self._stub.Media(metadata=self.metadata)
            await stream.write(pb.MediaRequest(hello=pb.MediaHello(link=self.link, stripe=stripe)))
            self._streams.append(stream)
            self._tasks.append(asyncio.create_task(self._read_media(stream)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drop()

    async def drop(self) -> None:
        """The link is lost."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                await task
        self._tasks.clear()
        await self._channel.close(None)

    async def send(self, **message: Any) -> None:
        await self._control_stream.write(pb.ControlRequest(**message))

    async def open(self, session: int, agent: str, *, metadata: str = "") -> None:
        """Opens a session and connects it."""
        opened = pb.SessionOpened(
            session=session, id=f"ses_{self.edge}_{session}", epoch=1, agent=agent, metadata=metadata
        )
        await self.send(opened=opened)
        await self.send(connected=pb.SessionConnected(session=session))

    async def frames(self, rows: Sequence[tuple[int, int, bytes]]) -> None:
        """Sends (session, sequence, packet) rows as 20 ms frames, one message a stripe."""
        for stripe, stream in enumerate(self._streams):
            mine = [row for row in rows if row[0] % len(self._streams) == stripe]
            if mine:
                await stream.write(pb.MediaRequest(frames=ingest(mine)))

    async def report(
        self, session: int, utterance: int, *, queued: int, sent: int, heard: int, state: int = 0, basis: int = 0
    ) -> None:
        reports = pb.PlayoutReports(
            session=[session],
            utterance=[utterance],
            queued=[queued],
            sent=[sent],
            received=[sent],
            heard=[heard],
            basis=[basis],
            state=[state],
            underruns=[0],
        )
        await self._streams[session % len(self._streams)].write(pb.MediaRequest(playout=reports))

    async def media_message(self, message: pb.MediaRequest, stripe: int = 0) -> None:
        await self._streams[stripe].write(message)

    async def next_control(self, kind: str, within: float = 5.0) -> Any:
        """Returns the next control message of a kind, passing others over."""
        async with asyncio.timeout(within):
            while True:
                message = await self.control.get()
                if message.WhichOneof("message") == kind:
                    return getattr(message, kind)

    async def next_media(self, within: float = 5.0) -> pb.MediaResponse:
        async with asyncio.timeout(within):
            return await self.media.get()

    async def _read_control(self) -> None:
        while (message := await self._control_stream.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
            if message.HasField("pace"):
                self.paces.append(message.pace.gather_us)
            self.control.put_nowait(message)

    async def _read_media(self, stream: Any) -> None:
        while (message := await stream.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
            self.receipts |= dict(zip(message.receipts.session, message.receipts.timestamp, strict=True))
            if message.HasField("frames") or message.HasField("commands"):
                self.media.put_nowait(message)


def ingest(rows: Sequence[tuple[int, int, bytes]]) -> pb.IngestFrames:
    now = time.monotonic_ns() // 1000
    return pb.IngestFrames(
        session=[row[0] for row in rows],
        sequence=[row[1] for row in rows],
        timestamp=[row[1] * 960 for row in rows],
        arrival_us=[now] * len(rows),
        duration=[960] * len(rows),
        level=[0x1B2] * len(rows),
        flags=[0] * len(rows),
        size=[len(row[2]) for row in rows],
        payload=b"".join(row[2] for row in rows),
    )


def packets_of(response: pb.MediaResponse) -> list[bytes]:
    """The packets of a worker's message."""
    packets, begin = [], 0
    for size in response.frames.size:
        packets.append(response.frames.payload[begin : begin + size])
        begin += size
    return packets


QUIET = SILENCE_20_MS
