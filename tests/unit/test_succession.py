"""What a worker leaves to the next one, and how that takes a session over in mid-call: over a real link."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from antiphon.frames import KEPT
from antiphon.opus import SILENCE_20_MS
from antiphon.turns import HintedVoice
from antiphon.wire.media.v1 import link_pb2 as pb
from antiphon.worker.call import Hearing
from antiphon.worker.host import Host
from antiphon.worker.link import LinkServer
from antiphon.worker.rooms import RoomAgent
from tests.support.link_client import LinkClient, ingest, packets_of
from tests.support.tasks import end
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.frames import Frame
    from antiphon.worker import Room, Session, Turn

_SPEECH, _QUIET = 0x180 | 20, 0x100 | 90
SESSION = "ses_here_1"


class Agents:
    def __init__(self) -> None:
        self.rooms: list[Room] = []
        self.said: dict[str, list[Frame]] = {}
        self.heard: dict[str, list[Frame]] = {}
        self.turns: list[Turn] = []
        self.may_listen = asyncio.Event()

    async def reader(self, session: Session) -> None:
        """Listens in two ways, but not before it is told to: as one that asks Redis for its checkpoint first."""
        self.heard.clear()
        await self.may_listen.wait()

        async def listen(name: str) -> None:
            self.heard[name] = []
            async for frame in session.frames():
                self.heard[name].append(frame)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen("one"))
            tasks.create_task(listen("other"))

    async def host(self, room: Room) -> None:
        self.rooms.append(room)
        await self.may_listen.wait()
        async for member, frame in room.frames():
            self.said.setdefault(member.id, []).append(frame)

    async def answerer(self, session: Session) -> None:
        if session.metadata.get("manual"):
            session.turns.mode = "manual"

        @session.on_turn
        async def reply(turn: Turn) -> None:
            self.turns.append(turn)
            await session.say([SILENCE_20_MS] * 5)


@pytest.fixture
def agents() -> Agents:
    return Agents()


@pytest.fixture
def host(agents: Agents) -> Host:
    return Host(
        {"reader": agents.reader, "answerer": agents.answerer, "host": RoomAgent(agents.host)},
        Hearing(HintedVoice()),
        capacity=3,
        grace_s=60.0,
    )


@pytest.fixture
async def link(host: Host) -> AsyncIterator[LinkClient]:
    server = LinkServer("worker-b", host)
    await server.start("127.0.0.1", 0)
    acknowledging = asyncio.create_task(host.acknowledge())
    async with LinkClient(f"127.0.0.1:{server.port}", edge="edge-a") as client:
        yield client
    await end(acknowledging)
    server.drain()
    await host.drain()
    await server.stop()


def speech(first: int, count: int, *, level: int = _SPEECH, flags: int = 0, handle: int = 1) -> pb.MediaRequest:
    frames = ingest([(handle, number, SILENCE_20_MS) for number in range(first, first + count)])
    frames.level[:] = [level] * count
    frames.flags[:] = [flags] * count
    return pb.MediaRequest(frames=frames)


async def take_over(
    link: LinkClient,
    agent: str,
    *,
    handle: int = 1,
    number: int = 1,
    session: str = SESSION,
    room: str = "",
    metadata: str = "{}",
    **more: int,
) -> None:
    takeover = pb.Takeover(number=number, **more)
    await link.send(
        opened=pb.SessionOpened(
            session=handle, id=session, epoch=7, agent=agent, metadata=metadata, takeover=takeover, room=room
        )
    )
    accepted = await link.next_control("accepted")
    assert accepted.session == handle
    await link.send(connected=pb.SessionConnected(session=handle))


async def test_kept_frames_wait_until_the_agent_listens_and_all_who_do_hear_them_before_the_others(
    link: LinkClient, agents: Agents
) -> None:
    await take_over(link, "reader")
    await link.media_message(speech(100, 50, flags=KEPT))
    await link.media_message(speech(150, 5))
    await link.next_control("data")  # it has begun
    agents.may_listen.set()
    await until(lambda: len(agents.heard) == 2 and all(len(frames) == 55 for frames in agents.heard.values()))
    await link.media_message(speech(155, 5))
    await until(lambda: all(len(frames) == 60 for frames in agents.heard.values()))
    for frames in agents.heard.values():
        assert [frame.sequence for frame in frames] == list(range(100, 160))
        assert [frame.kept for frame in frames] == [True] * 50 + [False] * 10


async def test_a_turn_that_was_open_goes_on_and_its_commit_comes_by_itself(link: LinkClient, agents: Agents) -> None:
    await take_over(link, "answerer")
    await link.media_message(speech(100, 60, flags=KEPT))
    await link.media_message(speech(160, 100, level=_QUIET))
    await until(lambda: len(agents.turns) == 1)
    assert agents.turns[0].audio[0].sequence == 100
    assert 1.1 <= agents.turns[0].seconds <= 1.5


async def test_what_is_said_follows_what_the_worker_before_said_and_its_end_is_told(link: LinkClient) -> None:
    await take_over(link, "answerer", utterance=4, generation=2)
    await link.report(1, 4, queued=96_000, sent=48_000, heard=24_000, state=0)
    await link.report(1, 4, queued=96_000, sent=96_000, heard=90_000, state=2)
    while "agentUtterance" not in (told := json.loads((await link.next_control("data")).payload)):
        pass
    assert told == {"agentUtterance": {"utterance": 4, "state": "ended", "heardMs": 2000.0, "lengthMs": 2000.0}}
    await link.media_message(speech(0, 60))
    await link.media_message(speech(60, 100, level=_QUIET))
    answer = await link.next_media()
    while not packets_of(answer):
        answer = await link.next_media()
    assert (set(answer.frames.utterance), set(answer.frames.generation)) == ({5}, {2})


async def test_the_edge_is_told_what_no_turn_can_need_any_more(link: LinkClient) -> None:
    await link.open(1, "answerer", metadata='{"manual": true}')
    await until(lambda: link.receipts.get(1) == 0)  # from now on it keeps
    await link.media_message(speech(0, 100, level=_QUIET))
    await until(lambda: link.receipts[1] > 60 * 960)
    assert link.receipts[1] < 100 * 960, "a turn may have begun that is not noticed yet"
    await link.media_message(speech(100, 200))
    while "callerTurn" not in json.loads((await link.next_control("data")).payload):
        pass
    await asyncio.sleep(1.2)  # it looks each half second
    assert link.receipts[1] <= 100 * 960, "a turn is open"
    commit = json.dumps({"turn": {"command": "commit"}}).encode()
    await link.send(data=pb.DataMessage(session=1, label="antiphon", payload=commit))
    await until(lambda: link.receipts[1] > 250 * 960)


async def test_where_nobody_takes_turns_all_that_was_heard_is_done_with(link: LinkClient, agents: Agents) -> None:
    agents.may_listen.set()
    await link.open(1, "reader")
    await link.next_control("data")
    await link.media_message(speech(0, 100))
    await until(lambda: link.receipts.get(1) == 100 * 960)


async def test_a_worker_that_gets_a_session_back_begins_it_anew(link: LinkClient, host: Host, agents: Agents) -> None:
    agents.may_listen.set()
    await take_over(link, "reader")
    first = next(iter(host.calls))
    await take_over(link, "reader", handle=2, number=3)
    assert first.closed.is_set()
    (second,) = host.calls
    assert second is not first
    assert second.info.takeover is not None
    assert second.info.takeover.number == 3


async def test_a_session_that_others_have_is_let_go_unless_its_edge_is_there(link: LinkClient, host: Host) -> None:
    await take_over(link, "reader")
    await link.media_message(speech(0, 1))
    (call,) = host.calls
    await until(lambda: call.may_come_back)
    host.let_go([SESSION, "ses_unknown"])
    assert not call.closed.is_set(), "Redis may not have heard of the takeover yet"
    await link.drop()
    await until(lambda: call.legs.waits)
    host.let_go([SESSION])
    assert call.closed.is_set()


async def test_a_session_that_is_refused_is_not_accepted(link: LinkClient) -> None:
    await link.send(
        opened=pb.SessionOpened(session=1, id=SESSION, epoch=7, agent="unknown", takeover=pb.Takeover(number=1))
    )
    refused: Any = await link.next_control("refused")
    assert refused.session == 1


async def test_a_room_is_taken_over_as_one_with_its_members_and_what_they_said(
    link: LinkClient, agents: Agents
) -> None:
    for handle, name in enumerate(("ann", "bob"), start=1):
        await take_over(
            link, "host", handle=handle, session=f"ses_{name}", room="kitchen", metadata=f'{{"name":"{name}"}}'
        )
        await link.media_message(speech(100, 20, flags=KEPT, handle=handle), stripe=handle % link.welcome.stripes)
    await until(lambda: len(agents.rooms) == 1 and len(agents.rooms[0].members) == 2)
    (room,) = agents.rooms
    assert (room.name, [member.metadata["name"] for member in room.members]) == ("kitchen", ["ann", "bob"])
    agents.may_listen.set()
    await until(lambda: [len(frames) for frames in agents.said.values()] == [20, 20])
    assert all(frame.kept for frames in agents.said.values() for frame in frames)
    await until(lambda: set(link.receipts) == {1, 2}, what="word of what need not be kept")

    state = pb.RoomState(room="kitchen", members=[pb.RoomMember(id="ses_ann", muted=True)])
    await link.send(room=state)
    await until(lambda: room.muted(room.members[0]))


async def test_a_worker_that_gets_a_room_back_begins_it_anew(link: LinkClient, host: Host, agents: Agents) -> None:
    """It was paused; others had the room meanwhile."""
    for handle, session in enumerate(("ses_ann", "ses_bob"), start=1):
        await take_over(link, "host", handle=handle, session=session, room="kitchen")
    await until(lambda: len(agents.rooms) == 1 and len(agents.rooms[0].members) == 2)
    for handle, session in enumerate(("ses_ann", "ses_bob"), start=1):
        await take_over(link, "host", handle=handle, session=session, room="kitchen", number=3)
    await until(lambda: len(agents.rooms) == 2 and len(agents.rooms[1].members) == 2)
    assert agents.rooms[0].members == ()
    assert len(host.sessions) == 2
