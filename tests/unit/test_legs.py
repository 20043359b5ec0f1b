"""A session that moves from edge to edge: one stream of frames, one utterance, and a call that waits for its caller."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.cluster import Membership
from antiphon.frames import Frame
from antiphon.opus import SILENCE_20_MS
from antiphon.testing import VirtualTimeLoop
from antiphon.turns import HintedVoice
from antiphon.wire.media.v1 import link_pb2 as pb
from antiphon.worker import Session
from antiphon.worker.call import Call, Hearing
from antiphon.worker.host import Host
from antiphon.worker.leaving import Leaving, edges_of_rooms
from antiphon.worker.link import LinkServer
from antiphon.worker.transport import LAST, CallInfo, PlayoutState
from tests.support import members
from tests.support.link_client import LinkClient, ingest, packets_of
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from antiphon.worker.utterance import Said

SESSION = "ses_here_1"


def info(edge: str, epoch: int) -> CallInfo:
    return CallInfo(SESSION, epoch, "agent", {}, "127.0.0.1", edge, "here", "worker-1")


class Way:
    """An edge as the call sees it: notes what it is told. Its clock is `ahead_s` ahead of the worker's."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.ahead_s = ahead_s
        self.played: list[bytes] = []
        self.ended: list[int] = []
        self.generations: list[int] = []
        self.flushed: list[int] = []
        self.sent: list[Any] = []
        self.hung_up: list[str] = []
        self.receipts: list[int] = []
        self.held = 0

    def play(self, utterance: int, generation: int, duration: int, flags: int, payload: bytes, level: int = 0) -> None:
        if duration:
            self.played.append(payload)
        if flags & LAST:
            self.ended.append(utterance)
        self.generations.append(generation)

    def hold(self) -> None:
        self.held += 1

    def resume(self) -> None: ...

    def release(self) -> None: ...

    def set_policy(self, *, hold_on_voice: bool) -> None: ...

    def done(self, timestamp: int) -> None:
        self.receipts.append(timestamp)

    def flush(self, generation: int) -> None:
        self.flushed.append(generation)

    def send_data(self, label: str, payload: bytes, *, binary: bool) -> None:
        self.sent.append(json.loads(payload))

    def mute(self, muted: bool) -> None: ...  # noqa: FBT001

    def worker_s(self, edge_s: float) -> float:
        return edge_s - self.ahead_s

    def hang_up(self, reason: str, *, after_playout: bool) -> None:
        self.hung_up.append(reason)


class Talk:
    """A call at edge a, whose agent listens to frames and says one long utterance of numbered packets."""

    def __init__(self, *, grace_s: float = 10.0, packets: int = 200) -> None:
        self.a = Way()
        self.call = Call(info("edge-a", 1), self.a, Hearing(HintedVoice()), lambda _: None, grace_s=grace_s)
        self.leg = self.call.legs.here
        self.heard: list[Frame] = []
        self.said: list[Said] = []
        self.packets = [SILENCE_20_MS + bytes([0, n % 256]) for n in range(packets)]
        self.call.start(self._agent())

    async def _agent(self) -> None:
        session = Session(self.call)

        async def listen() -> None:
            async for frame in session.frames():
                self.heard.append(frame)

        listening = asyncio.create_task(listen())
        try:
            self.said.append(await session.say(self.packets))
            await session.wait_closed()
        finally:
            listening.cancel()

    async def begin(self) -> None:
        await asyncio.sleep(0)
        self.leg.connected()
        await asyncio.sleep(0.01)

    async def end(self) -> None:
        self.call.close("bye")
        await self.call.wait_tasks()


def run(story: Coroutine[Any, Any, None]) -> None:
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(story)
    finally:
        loop.close()


def frame(number: int, *, at_s: float, base: tuple[int, int] = (0, 0)) -> Frame:
    sequence, tick = base
    return Frame(sequence + number, tick + 960 * number, round(at_s * 1e6), 960, 0, 0, bytes([number % 256]))


# the stream of frames


@settings(max_examples=60)
@given(
    switch=st.integers(8, 40),
    overlap=st.integers(0, 20),
    late=st.integers(0, 6),
    base=st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 45)),
    ahead_s=st.floats(-1e5, 1e5),
    jitter=st.lists(st.floats(0, 0.004), min_size=8, max_size=8),
)
def test_two_edges_frames_are_one_stream_with_none_missing_and_none_twice(
    switch: int, overlap: int, late: int, base: tuple[int, int], ahead_s: float, jitter: list[float]
) -> None:
    """The caller sends the same sound over both legs from `switch` on; the old edge's link is `late` frames slower."""

    async def story() -> None:
        talk = Talk()
        await talk.begin()
        b = Way(ahead_s)
        new = talk.call.legs.begin(info("edge-b", 2), b)
        new.connected()
        events: list[tuple[float, Any, Frame]] = []
        for number in range(switch + overlap):
            at_s = 0.02 * number + jitter[number % 8]
            behind = at_s + 0.02 * late
            events.append((behind, talk.leg, frame(number, at_s=at_s)))
        for number in range(switch, switch + 60):
            at_s = 0.02 * number + jitter[(number * 3) % 8]
            events.append((at_s, new, frame(number, at_s=at_s + ahead_s, base=base)))
        for _, leg, item in sorted(events, key=lambda event: event[0]):
            leg.hear(item)
            await asyncio.sleep(0)
        await asyncio.sleep(1)
        told = sorted(talk.heard, key=lambda one: one.sequence)
        assert [one.sequence for one in told] == list(range(switch + 60)), "a gap, or a frame told twice"
        assert [one.payload[0] for one in told] == list(range(switch + 60))
        steps = [after.timestamp - before.timestamp for before, after in itertools.pairwise(told)]
        assert all(abs(step - 960) <= 960 * 0.25 for step in steps), "the cut is off by more than the jitter"
        await talk.end()

    run(story())


def test_what_was_said_while_no_edge_was_there_is_a_gap_in_time() -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        for number in range(10):
            talk.leg.hear(frame(number, at_s=0.02 * number))
        talk.leg.close("edge")
        await asyncio.sleep(3)
        b = Way(ahead_s=77.0)
        new = talk.call.legs.begin(info("edge-b", 2), b)
        new.connected()
        for number in range(5):
            new.hear(frame(number, at_s=3.2 + 0.02 * number + 77.0, base=(900, 90_000)))
        await asyncio.sleep(0.1)
        assert [one.sequence for one in talk.heard] == [*range(10), *range(160, 165)]
        assert talk.heard[10].timestamp == pytest.approx(160 * 960, abs=2)
        assert talk.heard[10].arrival_us == pytest.approx(3.2e6, abs=2), "told on the first edge's clock"
        await talk.end()

    run(story())


def test_an_old_edge_that_wakes_says_nothing_more() -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        talk.leg.hear(frame(0, at_s=0))
        new = talk.call.legs.begin(info("edge-b", 2), Way())
        new.hear(frame(0, at_s=0.02, base=(50, 50)))
        for number in range(1, 20):
            talk.leg.hear(frame(number, at_s=0.02 * number))
        talk.leg.close("drain")
        talk.leg.close("edge")
        await asyncio.sleep(0.1)
        assert len(talk.heard) == 2
        assert not talk.call.closed.is_set()
        await talk.end()

    run(story())


def test_a_session_may_move_again_before_a_frame_came_over_the_leg_between() -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        talk.leg.hear(frame(0, at_s=0))
        between = talk.call.legs.begin(info("edge-b", 2), Way())
        between.connected()
        last = talk.call.legs.begin(info("edge-c", 3), Way())
        last.connected()
        between.hear(frame(7, at_s=0.02, base=(1 << 30, 5)))
        last.hear(frame(0, at_s=0.02, base=(9, 9)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [one.sequence for one in talk.heard] == [0, 1]
        assert talk.call.info.edge == "edge-c"
        await talk.end()

    run(story())


# what the agent says


def test_an_utterance_goes_on_at_the_new_edge_where_the_old_one_stopped() -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        talk.leg.report(1, 40 * 960, 30 * 960, PlayoutState.PLAYING)
        await asyncio.sleep(0.01)
        b = Way()
        new = talk.call.legs.begin(info("edge-b", 2), b)
        assert not talk.a.flushed, "the old edge plays until the new one has the caller"
        new.connected()
        assert talk.a.flushed == [1]
        assert not b.played, "it is not known yet how far the old one is"
        talk.leg.report(1, 57 * 960, 50 * 960, PlayoutState.FLUSHED)
        await asyncio.sleep(0.01)
        assert b.played[0] == talk.packets[57]
        assert set(b.generations) == {1}
        for sent in range(10, 150, 10):
            new.report(1, sent * 960, sent * 960, PlayoutState.PLAYING)
            await asyncio.sleep(0.01)
        assert b.played == talk.packets[57:]
        assert b.ended == [1]
        new.report(1, 143 * 960, 143 * 960, PlayoutState.ENDED)
        await asyncio.sleep(0.01)
        assert (talk.said[0].complete, talk.said[0].heard) == (True, 4.0)
        await talk.end()

    run(story())


def test_an_old_edge_that_tells_nothing_holds_nobody_up() -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        talk.leg.report(1, 40 * 960, 30 * 960, PlayoutState.PLAYING)
        b = Way()
        talk.call.legs.begin(info("edge-b", 2), b).connected()
        await asyncio.sleep(0.35)
        assert b.played[0] == talk.packets[40]
        await talk.end()

    run(story())


def test_what_is_said_to_a_lost_edge_waits_for_the_next() -> None:
    async def story() -> None:
        talk = Talk(packets=60)
        await talk.begin()
        talk.leg.report(1, 20 * 960, 15 * 960, PlayoutState.PLAYING)
        await asyncio.sleep(0.01)
        talk.leg.close("edge")
        await asyncio.sleep(2)
        assert not talk.said
        b = Way()
        talk.call.tell("app", {"data": "while you were away"})
        new = talk.call.legs.begin(info("edge-b", 2), b)
        assert not b.played
        new.connected()
        assert b.played == talk.packets[20:]
        assert b.ended == [1]
        kinds = [next(iter(message)) for message in b.sent]
        assert kinds[:2] == ["sessionStarted", "app"]
        assert b.sent[0]["sessionStarted"]["edge"] == "edge-b"
        await talk.end()

    run(story())


def test_an_utterance_that_the_old_edge_played_to_its_end_is_not_played_again() -> None:
    async def story() -> None:
        talk = Talk(packets=20)
        await talk.begin()
        talk.leg.report(1, 10 * 960, 5 * 960, PlayoutState.PLAYING)
        b = Way()
        talk.call.legs.begin(info("edge-b", 2), b).connected()
        talk.leg.report(1, 20 * 960, 20 * 960, PlayoutState.FLUSHED)
        await asyncio.sleep(0.01)
        assert not b.played
        assert talk.said[0].complete
        await talk.end()

    run(story())


def test_a_hold_of_the_agent_holds_at_the_new_edge_too() -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        talk.call.speaker.hold()
        b = Way()
        talk.call.legs.begin(info("edge-b", 2), b).connected()
        assert b.held == 1
        await talk.end()

    run(story())


# the end


def test_a_caller_that_does_not_come_back_in_time_has_left() -> None:
    async def story() -> None:
        talk = Talk(grace_s=5)
        await talk.begin()
        talk.leg.close("edge")
        await asyncio.sleep(4.9)
        assert not talk.call.closed.is_set()
        await asyncio.sleep(0.2)
        assert talk.call.closed.is_set()
        await talk.call.wait_tasks()

    run(story())


@pytest.mark.parametrize("reason", ["bye", "api", "drain", "consent", "dtls"])
def test_an_end_that_is_meant_is_an_end(reason: str) -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        talk.leg.close(reason)
        assert talk.call.closed.is_set()
        await talk.call.wait_tasks()

    run(story())


def test_a_call_that_ends_during_its_move_ends_at_both_edges() -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        b = Way()
        talk.call.legs.begin(info("edge-b", 2), b)
        talk.leg.close("bye")
        assert talk.call.closed.is_set()
        assert b.hung_up == ["worker"]
        await talk.call.wait_tasks()

    run(story())


def test_a_wish_to_hang_up_is_heard_at_the_new_edge() -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        talk.call.hang_up("done", after_playout=True)
        b = Way()
        talk.call.legs.begin(info("edge-b", 2), b).connected()
        assert b.hung_up == ["done"]
        await talk.end()

    run(story())


def test_a_move_that_comes_to_nothing_changes_nothing() -> None:
    async def story() -> None:
        talk = Talk()
        await talk.begin()
        new = talk.call.legs.begin(info("edge-b", 2), Way())
        new.close("timeout")
        for number in range(5):
            talk.leg.hear(frame(number, at_s=0.02 * number))
        await asyncio.sleep(0.01)
        assert [one.sequence for one in talk.heard] == list(range(5))
        assert talk.call.info.edge == "edge-a"
        await talk.end()

    run(story())


# leaving an edge that drains


def test_callers_of_an_edge_that_drains_are_asked_to_leave_a_few_at_a_time_and_again_while_they_stay() -> None:
    async def story() -> None:
        ways = [Way() for _ in range(30)]
        calls = [
            Call(replace(info("edge-a", 1), id=f"ses_{n}"), way, Hearing(HintedVoice()), lambda _: None)
            for n, way in enumerate(ways)
        ]
        elsewhere = Call(info("edge-b", 1), Way(), Hearing(HintedVoice()), lambda _: None)
        for call in (*calls, elsewhere):
            call.connected()
        leaving = Leaving(lambda: [*calls, elsewhere])
        leaving.heard(Membership((members.edge("edge-a", draining=True),)))
        assert leaving.step(0.0) == 0, "there is nowhere to go"
        leaving.heard(Membership((members.edge("edge-a", draining=True), members.edge("edge-b"))))
        assert [leaving.step(0.25 * n) for n in range(3)] == [20, 10, 0]
        assert all(way.sent[-1] == {"sessionMove": {"reason": "drain"}} for way in ways)
        assert [leaving.step(at) for at in (9.9, 10.1, 10.3)] == [0, 20, 10]
        leaving.heard(Membership((members.edge("edge-a"), members.edge("edge-b"))))
        assert leaving.step(30.0) == 0

    run(story())


def member(room: str, number: int, edge: str = "edge-a", epoch: int = 1) -> tuple[Call, Way]:
    way = Way()
    told = replace(info(edge, epoch), id=f"ses_{room}_{number}", room=room)
    call = Call(told, way, Hearing(HintedVoice()), lambda _: None, grace_s=10.0)
    call.connected()
    return call, way


def test_members_of_a_room_whose_edge_drains_are_asked_all_at_once() -> None:
    async def story() -> None:
        hall, kitchen = ([member(room, n) for n in range(count)] for room, count in (("hall", 15), ("kitchen", 30)))
        leaving = Leaving(lambda: [call for call, _ in (*hall, *kitchen)])
        leaving.heard(Membership((members.edge("edge-a", draining=True), members.edge("edge-b"))))
        assert [leaving.step(0.25 * n) for n in range(3)] == [45, 0, 0], "no room is divided"
        assert all(way.sent[-1] == {"sessionMove": {"reason": "drain"}} for _, way in (*hall, *kitchen))

    run(story())


def test_who_is_left_behind_by_its_room_is_asked_to_follow_while_it_is_somewhere() -> None:
    async def story() -> None:
        ahead, behind, lost, coming = (member("kitchen", n, "edge-a", 1 + n) for n in range(4))
        elsewhere, _ = member("hall", 1, "edge-a", 9)
        leaving = Leaving(lambda: [call for call, _ in (ahead, behind, lost, coming)] + [elsewhere])
        leaving.heard(Membership((members.edge("edge-a"), members.edge("edge-b"))))
        assert leaving.step(0.0) == 0
        ahead[0].legs.begin(replace(info("edge-b", 7), id=ahead[0].info.id, room="kitchen"), Way()).connected()
        lost[0].legs.here.close("edge")
        coming[0].legs.begin(replace(info("edge-b", 8), id=coming[0].info.id, room="kitchen"), Way())
        assert [leaving.step(at) for at in (1.0, 2.0, 12.0)] == [1, 0, 1]
        assert behind[1].sent[-1] == {"sessionMove": {"reason": "room"}}
        leaving.rebalance([behind[0].info.id])
        assert behind[1].sent[-1] == {"sessionMove": {"reason": "room"}}, "and for no other reason"

    run(story())


@given(st.lists(st.tuples(st.sampled_from(["", "hall", "kitchen"]), st.integers(1, 99), st.sampled_from("abc"))))
def test_a_room_is_where_its_newest_member_came_to(found: list[tuple[str, int, str]]) -> None:
    told = edges_of_rooms(found)
    assert set(told) == {room for room, _, _ in found if room}
    for room, edge in told.items():
        newest = max(epoch for name, epoch, _ in found if name == room)
        assert (room, newest, edge) in found


# over real links


@pytest.fixture
async def worker() -> AsyncIterator[LinkServer]:
    async def echo(session: Session) -> None:
        async for item in session.frames():
            session.forward(item)

    host = Host({"echo": echo}, Hearing(HintedVoice()), capacity=3, grace_s=10)
    server = LinkServer("worker-test", host)
    await server.start("127.0.0.1", 0)
    yield server
    server.drain()
    await host.drain()
    await server.stop()


async def opened(link: LinkClient, handle: int, epoch: int) -> None:
    await link.send(opened=pb.SessionOpened(session=handle, id=SESSION, epoch=epoch, agent="echo"))


async def test_a_session_goes_on_over_another_edges_link_when_the_first_breaks(worker: LinkServer) -> None:
    address = f"127.0.0.1:{worker.port}"
    async with LinkClient(address, edge="edge-b") as other:
        async with LinkClient(address, edge="edge-a") as first:
            await opened(first, 1, 1)
            await first.send(connected=pb.SessionConnected(session=1))
            await first.next_control("data")
            await first.frames([(1, 10, b"\xf8one")])
            assert packets_of(await first.next_media()) == [b"\xf8one"]
        await until(lambda: worker.links == 1)
        await opened(other, 9, 2)
        await other.send(connected=pb.SessionConnected(session=9))
        started = json.loads((await other.next_control("data")).payload)["sessionStarted"]
        assert (started["session"], started["edge"]) == (SESSION, "edge-b")
        for number in range(5, 10):  # what lies in time where the first edge's frame does was heard already
            await other.media_message(pb.MediaRequest(frames=ingest([(9, number, b"\xf8two")])))
            await asyncio.sleep(0.02)
        answer = await other.next_media()
        assert (list(answer.frames.session), packets_of(answer)) == ([9], [b"\xf8two"])


async def test_an_old_epoch_is_refused(worker: LinkServer) -> None:
    address = f"127.0.0.1:{worker.port}"
    async with LinkClient(address, edge="edge-a") as first, LinkClient(address, edge="edge-b") as other:
        await opened(first, 1, 5)
        await first.send(connected=pb.SessionConnected(session=1))
        await first.next_control("data")
        for epoch in (4, 5):
            await opened(other, 9, epoch)
            assert (await other.next_control("refused")).session == 9
