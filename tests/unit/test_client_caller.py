"""The Python caller against another aiortc peer that stands in for a cluster: it echoes, tells and hangs up."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from antiphon.client import RATE, CallEndedError, Caller, CallError, CallRefusedError
from antiphon.client.api import Placed
from tests.support.compare import find
from tests.support.speech import say
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Answerer:
    """Takes the place of the HTTP API; its peer sends audio back as it comes."""

    url = "http://127.0.0.1:1"

    def __init__(self) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peer.on("track", self.peer.addTrack)
        self.peer.on("datachannel", self._channel)
        self.asked: dict[str, Any] = {}
        self.received: list[Any] = []
        self.reports: list[bytes] = []
        self.deleted: list[str] = []
        self.records: list[dict[str, Any]] = []
        self.channel: Any = None

    async def create(self, sdp: str, **asked: Any) -> Placed:
        self.asked = asked
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        return Placed("ses_1", self.peer.localDescription.sdp, "edge-1", "frankfurt", "worker-1")

    async def regions(self) -> list[dict[str, Any]]:
        return []

    async def session(self, session: str) -> dict[str, Any]:
        assert session == "ses_1"
        if not self.records:
            raise CallRefusedError("no such session", status=404)
        return self.records.pop(0)

    async def delete(self, session: str) -> bool:
        self.deleted.append(session)
        return True

    async def close(self) -> None:
        await self.peer.close()

    def tell(self, **message: Any) -> None:
        self.channel.send(json.dumps(message))

    def _message(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.reports.append(message)
        else:
            self.received.append(json.loads(message))

    def _channel(self, channel: Any) -> None:
        self.channel = channel
        channel.on("message", self._message)
        self.tell(sessionStarted={"session": "ses_1", "agent": "echo", "worker": "worker-2", "edge": "edge-1"})


@pytest.fixture
async def answerer() -> AsyncIterator[Answerer]:
    made = Answerer()
    yield made
    await made.close()


def caller(answerer: Answerer, **options: Any) -> Caller:
    made = Caller(answerer.url, **options)
    made._api = cast("Any", answerer)
    return made


async def test_a_call_is_set_up_heard_and_counted(answerer: Answerer) -> None:
    said = say("one two three four", RATE)
    async with caller(answerer, agent="echo", region="frankfurt", metadata={"name": "Ada"}) as call:
        assert (call.session, call.edge, call.region) == ("ses_1", "edge-1", "frankfurt")
        begin, end = await call.play(said)
        assert end - begin == pytest.approx(len(said) / RATE, abs=0.021)
        await until(lambda: find(said, call.recording()).correlation > 0.8)
        assert call.hearing.stretches
        await until(lambda: len(answerer.reports) >= 3)
    statistics = await call.statistics()
    wishes: dict[str, Any] = {"agent": "echo", "region": "frankfurt", "metadata": {"name": "Ada"}}
    unsaid: dict[str, Any] = {"room": None, "turns": None, "recording": False, "rtts": {}}
    assert answerer.asked == {**wishes, **unsaid}, "a region was asked for, so that none is measured"
    assert {"http", "ice", "dtls", "data_channel", "first_frame"} == statistics.setup_ms.keys()
    assert statistics.packets_received > 0
    assert answerer.deleted == ["ses_1"]


async def test_messages_go_both_ways(answerer: Answerer) -> None:
    async with caller(answerer) as call:
        await call.send({"question": 42})
        await until(lambda: answerer.received)
        answerer.tell(app={"data": [1, 2, 3]})
        await call.wait_for(lambda: call.messages, within=30)
        assert call.worker == "worker-2"
    assert answerer.received[0] == {"app": {"data": {"question": 42}}}
    assert list(call.messages) == [[1, 2, 3]]


async def test_when_the_other_side_ends_the_call_its_reason_is_told(answerer: Answerer) -> None:
    async with caller(answerer) as call:
        playing = asyncio.create_task(call.play(np.zeros(600 * RATE, np.int16)))
        await call.wait_for(lambda: call.journal.worker, within=30)
        answerer.tell(sessionEnded={"reason": "hangup"})
        await call.wait_for(lambda: call.journal.end_reason, within=30)
        await answerer.peer.close()
        assert await asyncio.wait_for(call.wait_ended(), 30) == "hangup"
        with pytest.raises(CallEndedError, match="hangup"):
            await playing
    assert answerer.deleted == []


async def test_when_nobody_says_why_a_call_ended_its_record_does(answerer: Answerer) -> None:
    async with caller(answerer) as call:
        await call.wait_for(lambda: call.journal.worker, within=30)
        answerer.records = [{"reason": None}, {"reason": "api"}]
        await answerer.peer.close()
        assert await asyncio.wait_for(call.wait_ended(), 30) == "api"
    assert answerer.records == []


async def test_an_answer_that_leads_nowhere_is_told_after_the_timeout(answerer: Answerer) -> None:
    call = caller(answerer, timeout=1.5)
    create = answerer.create

    async def nowhere(sdp: str, **asked: Any) -> Placed:
        placed = await create(sdp, **asked)
        await answerer.peer.close()
        return placed

    answerer.create = nowhere  # type: ignore[method-assign]
    with pytest.raises(CallError, match=r"no connection after 2 s with edge edge-1; done so far: http"):
        await call.connect()
    assert answerer.deleted == ["ses_1"]


async def test_a_refusal_passes_through_and_leaves_nothing_open(answerer: Answerer) -> None:
    async def refuse(_sdp: str, **_asked: Any) -> Placed:
        raise CallRefusedError("no agent nobody (HTTP 404)", status=404)

    answerer.create = cast("Any", refuse)  # type: ignore[method-assign]
    call = caller(answerer, agent="nobody")
    with pytest.raises(CallRefusedError, match="no agent nobody"):
        await call.connect()
    assert call.ended
    assert answerer.deleted == []
