"""The link server, spoken to by a real gRPC client."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest

from antiphon.frames import Gap
from antiphon.turns import HintedVoice
from antiphon.wire.media.v1 import link_pb2 as pb
from antiphon.worker import Dtmf, Session, Turn
from antiphon.worker.call import Call, Hearing
from antiphon.worker.catalogue import load_agents
from antiphon.worker.host import Host
from antiphon.worker.link import LinkServer, gather_us
from antiphon.worker.listening import Listener
from tests.support.link_client import QUIET, LinkClient, ingest, packets_of
from tests.support.wait import until

HEARD: list[object] = []


async def recorder(session: Session) -> None:
    @session.on_message
    def got(message: object) -> None:
        HEARD.append(message)
        session.send({"got": message, "metadata": dict(session.metadata)})

    await session.wait_closed()


async def talker(session: Session) -> None:
    said = await session.say([QUIET] * 200)
    HEARD.append(said)
    session.hang_up("done")


async def broken(session: Session) -> None:
    raise RuntimeError("this agent is broken")


async def stopper(session: Session) -> None:
    @session.on_turn
    async def reply(turn: Turn) -> None:
        HEARD.append(await session.say([QUIET] * 50))


async def watcher(session: Session) -> None:
    gaps: list[list[object]] = []

    @session.on_dtmf
    def tell(key: Dtmf) -> None:
        quality = session.quality
        session.send(
            {
                "digit": key.digit, "seconds": key.seconds, "rtt_s": quality.rtt_s,
                "loss_before_repair": quality.loss_before_repair, "loss": quality.loss, "gaps": gaps,
            }
        )  # fmt: skip

    async for item in session.frames(gaps=True):
        gaps.append(list(item))  # noqa: PERF401 - a comprehension would lose all when cancelled


@pytest.fixture
async def worker() -> AsyncIterator[LinkServer]:
    HEARD.clear()
    agents = dict(load_agents([])) | {
        "recorder": recorder,
        "talker": talker,
        "broken": broken,
        "stopper": stopper,
        "watcher": watcher,
    }
    host = Host(agents, Hearing(HintedVoice()), capacity=3)
    server = LinkServer("worker-test", host)
    await server.start("127.0.0.1", 0)
    yield server
    server.drain()
    await host.drain()
    await server.stop()


def client(worker: LinkServer, edge: str = "edge-test", version: int = 1) -> LinkClient:
    return LinkClient(f"127.0.0.1:{worker.port}", edge=edge, version=version)


async def test_echo_returns_each_frame_as_it_was_in_one_message(worker: LinkServer) -> None:
    async with client(worker) as link:
        await link.open(1, "echo")
        await link.open(2, "echo")
        await link.next_control("data")
        await link.next_control("data")
        await link.frames([(1, 10, b"\xf8one"), (2, 5, b"\xf8two"), (1, 11, b"\xf8three")])
        answer = await link.next_media()
        assert sorted(zip(answer.frames.session, packets_of(answer), strict=True)) == [
            (1, b"\xf8one"), (1, b"\xf8three"), (2, b"\xf8two"),
        ]  # fmt: skip
        assert set(answer.frames.flags) == {2}
        assert set(answer.frames.duration) == {960}


async def test_a_failure_over_one_sessions_rows_ends_that_session_only(
    worker: LinkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(call: Call, _: Gap) -> None:
        raise RuntimeError(call.info.id)

    monkeypatch.setattr(Call, "miss", fail)
    async with client(worker) as link:
        await link.open(1, "echo")
        await link.open(2, "echo")
        await link.next_control("data")
        await link.next_control("data")
        gaps = pb.IngestGaps(session=[1], first=[4], count=[1], state=[1])
        await link.media_message(pb.MediaRequest(gaps=gaps, frames=ingest([(2, 5, b"\xf8two")])))
        hang_up = await link.next_control("hang_up")
        assert (hang_up.session, hang_up.reason) == (1, "error")
        assert packets_of(await link.next_media()) == [b"\xf8two"]


async def test_session_started_is_the_first_word_on_the_data_channel(worker: LinkServer) -> None:
    async with client(worker) as link:
        await link.open(7, "recorder")
        message = await link.next_control("data")
        assert (message.session, message.label, message.binary) == (7, "antiphon", False)
        assert json.loads(message.payload) == {
            "sessionStarted": {
                "session": "ses_edge-test_7", "agent": "recorder", "worker": "worker-test", "edge": "edge-test",
            }
        }  # fmt: skip


async def test_messages_and_metadata_pass_both_ways(worker: LinkServer) -> None:
    async with client(worker) as link:
        await link.open(7, "recorder", metadata='{"user": "ada"}')
        await link.next_control("data")
        payload = json.dumps({"app": {"data": [1, "two", None]}}).encode()
        await link.send(data=pb.DataMessage(session=7, label="antiphon", payload=payload))
        answer = json.loads((await link.next_control("data")).payload)
        assert answer == {"app": {"data": {"got": [1, "two", None], "metadata": {"user": "ada"}}}}


async def test_bye_of_the_caller_hangs_up(worker: LinkServer) -> None:
    async with client(worker) as link:
        await link.open(7, "recorder")
        await link.send(data=pb.DataMessage(session=7, label="antiphon", payload=b'{"bye": {}}'))
        hang_up = await link.next_control("hang_up")
        assert (hang_up.session, hang_up.reason, hang_up.after_playout) == (7, "bye", False)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"[]", b"{}", b'{"app": 1}', b'{"what": {}}', b'{"app": {}, "bye": {}}', b"[" * 60_000],
    ids=lambda payload: payload[:12].decode(errors="replace") or "empty",
)
async def test_malformed_messages_are_passed_over(worker: LinkServer, payload: bytes) -> None:
    async with client(worker) as link:
        await link.open(7, "recorder")
        await link.next_control("data")
        await link.send(data=pb.DataMessage(session=7, label="antiphon", payload=payload))
        await link.send(data=pb.DataMessage(session=7, label="antiphon", payload=b'{"app": {"data": 1}}'))
        await link.next_control("data")
        assert HEARD == [1]


async def test_an_utterance_stays_within_its_credit_until_the_edge_reports(worker: LinkServer) -> None:
    async with client(worker) as link:
        await link.open(1, "talker")
        queued = await frames_until(link, 100)
        assert queued == 100
        with pytest.raises(TimeoutError):
            await link.next_media(within=0.2)
        await link.report(1, 1, queued=96000, sent=48000, heard=40000)
        assert await frames_until(link, 50) == 50
        await link.report(1, 1, queued=144000, sent=144000, heard=140000)
        assert await frames_until(link, 51) == 51
        await link.report(1, 1, queued=192000, sent=192000, heard=192000, state=2)
        assert (await link.next_control("hang_up")).after_playout
        assert HEARD[0].complete  # type: ignore[attr-defined]
        assert HEARD[0].heard == HEARD[0].length == 4.0  # type: ignore[attr-defined]


async def test_speaking_over_an_utterance_flushes_it_and_tells_what_was_heard(worker: LinkServer) -> None:
    async with client(worker) as link:
        await link.open(1, "stopper")
        await link.next_control("data")
        await link.media_message(voice(1, 0, 40, spoken=range(10)))
        assert await frames_until(link, 51) == 51
        await link.report(1, 1, queued=48000, sent=9600, heard=4800)
        await link.media_message(voice(1, 40, 20, spoken=range(40, 60)))
        answer = await link.next_media()
        commands = list(zip(answer.commands.command, answer.commands.generation, strict=True))
        assert commands[0][0] == 0  # held at once
        if len(commands) == 1:
            answer = await link.next_media()
            commands += zip(answer.commands.command, answer.commands.generation, strict=True)
        assert commands[1:] == [(2, 1)]
        await link.report(1, 1, queued=48000, sent=9600, heard=7200, state=3, basis=1)
        await until(lambda: bool(HEARD))
        await link.media_message(voice(1, 60, 40, spoken=()))
        answer = await link.next_media()
        assert set(answer.frames.generation) == {1}
        assert HEARD[0].cut == "interrupted"  # type: ignore[attr-defined]
        assert HEARD[0].heard == 0.15  # type: ignore[attr-defined]
        assert HEARD[0].received == 0.2  # type: ignore[attr-defined]
        assert HEARD[0].heard_by == "device"  # type: ignore[attr-defined]


async def test_agents_exception_ends_its_own_session_only(worker: LinkServer) -> None:
    async with client(worker) as link:
        await link.open(1, "echo")
        await link.open(2, "broken")
        hang_up = await link.next_control("hang_up")
        assert (hang_up.session, hang_up.reason) == (2, "error")
        await link.frames([(1, 0, QUIET)])
        assert list((await link.next_media()).frames.session) == [1]


@pytest.mark.parametrize(
    ("agent", "metadata", "expected"),
    [("nobody", "", "no agent 'nobody' here"), ("echo", "[]", "metadata"), ("echo", "{", "Expecting")],
)
async def test_sessions_are_refused_with_a_reason(worker: LinkServer, agent: str, metadata: str, expected: str) -> None:
    async with client(worker) as link:
        await link.open(9, agent, metadata=metadata)
        refused = await link.next_control("refused")
        assert refused.session == 9
        assert expected in refused.reason


async def test_sessions_above_capacity_are_refused(worker: LinkServer) -> None:
    async with client(worker) as link:
        for session in range(4):
            await link.open(session, "echo")
        refused = await link.next_control("refused")
        assert refused.session == 3
        assert "3 sessions" in refused.reason


async def test_other_versions_are_refused(worker: LinkServer) -> None:
    link = client(worker, version=2)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await link.__aenter__()
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "version 2" in (refused.value.details() or "")
    await link.drop()


async def test_a_lost_link_closes_its_sessions(worker: LinkServer) -> None:
    link = client(worker)
    await link.__aenter__()
    await link.open(1, "echo")
    await link.next_control("data")
    assert worker.links == 1
    await link.drop()
    await until(lambda: not worker.links)
    async with client(worker) as again:
        for session in range(3):  # the capacity is free again
            await again.open(session, "echo")
            await again.next_control("data")


async def test_closing_a_session_frees_its_handle(worker: LinkServer) -> None:
    async with client(worker) as link:
        await link.open(1, "echo")
        await link.next_control("data")
        await link.send(closed=pb.SessionClosed(session=1, reason="bye"))
        await link.frames([(1, 0, QUIET)])
        await link.open(1, "echo")
        await link.next_control("data")
        await link.frames([(1, 1, b"\xf8new")])
        assert packets_of(await link.next_media()) == [b"\xf8new"]


async def test_columns_of_different_lengths_are_refused_and_the_link_lives(worker: LinkServer) -> None:
    async with client(worker) as link:
        await link.open(1, "echo")
        await link.next_control("data")
        await link.media_message(pb.MediaRequest(frames=pb.IngestFrames(session=[1], size=[5], payload=b"12345")))
        await link.media_message(pb.MediaRequest(playout=pb.PlayoutReports(session=[1])))
        await link.frames([(1, 1, QUIET)])
        assert packets_of(await link.next_media()) == [QUIET]


async def test_more_links_are_told_to_gather_longer(worker: LinkServer) -> None:
    async with client(worker, "edge-0") as first:
        assert first.paces == [1000]
        async with AsyncExitStack() as stack:
            others = [await stack.enter_async_context(client(worker, f"edge-{n}")) for n in range(1, 5)]
            assert others[-1].paces == [gather_us(5)]
            await first.next_control("pace")
        await first.next_control("pace")
        assert first.paces == [1000, gather_us(5), 1000]
    assert [gather_us(links) for links in (1, 4, 20, 40, 100)] == [1000, 1000, 5000, 10_000, 10_000]


async def test_a_failure_in_one_session_leaves_the_others_alone(worker: LinkServer, monkeypatch: Any) -> None:
    async with client(worker) as link:
        await link.open(1, "echo")
        await link.open(2, "stopper")
        await link.next_control("data")
        await link.next_control("data")
        monkeypatch.setattr(Listener, "hear", lambda *_: 1 / 0)
        await link.frames([(2, 0, QUIET), (1, 0, QUIET)])
        assert list((await link.next_media()).frames.session) == [1]
        hang_up = await link.next_control("hang_up")
        assert (hang_up.session, hang_up.reason) == (2, "error")


async def test_pings_are_answered(worker: LinkServer) -> None:
    async with client(worker) as link:
        await link.send(ping=pb.Ping(sent_us=42))
        pong = await link.next_control("pong")
        assert pong.sent_us == 42
        assert pong.received_us > 0


async def test_quality_gaps_and_keys_reach_the_agent(worker: LinkServer) -> None:
    async with client(worker) as link:
        await link.open(1, "watcher")
        await link.next_control("data")
        quality = pb.IngestQuality(
            session=[1], rtt_us=[80_000], jitter_us=[4_000], expected=[1000], lost_before_repair=[100],
            repaired_red=[90], repaired_nack=[9], late=[0], reordered=[2], duplicates=[1], lost=[1],
            echo=[0],
        )  # fmt: skip
        gaps = pb.IngestGaps(session=[1, 1], first=[5, 5], count=[2, 2], state=[0, 1])
        await link.media_message(pb.MediaRequest(quality=quality, gaps=gaps))
        key = bytes((11, 0x8A)) + (4800).to_bytes(2, "big")
        event = pb.IngestFrames(
            session=[1], sequence=[8], timestamp=[7680], arrival_us=[0], duration=[0], level=[0], flags=[8],
            size=[4], payload=key,
        )  # fmt: skip
        await link.media_message(pb.MediaRequest(frames=event))
        told = json.loads((await link.next_control("data")).payload)["app"]["data"]
        assert told == {
            "digit": "#", "seconds": 0.1, "rtt_s": 0.08, "loss_before_repair": 0.1, "loss": 0.001,
            "gaps": [[5, 2, False], [5, 2, True]],
        }  # fmt: skip


async def frames_until(link: LinkClient, count: int) -> int:
    got = 0
    while got < count:
        got += len((await link.next_media()).frames.session)
    return got


def voice(session: int, first: int, count: int, spoken: range | tuple[()]) -> pb.MediaRequest:
    """Frames of which some carry the voice bit."""
    sequences = range(first, first + count)
    return pb.MediaRequest(
        frames=pb.IngestFrames(
            session=[session] * count, sequence=sequences, timestamp=[n * 960 for n in sequences],
            arrival_us=[0] * count, duration=[960] * count, flags=[0] * count,
            level=[0x190 if n in spoken else 0x17F for n in sequences],
            size=[len(QUIET)] * count, payload=QUIET * count,
        )
    )  # fmt: skip
