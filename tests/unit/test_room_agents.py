"""Agents in rooms, in virtual time: who hears what they say, and what they are told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from antiphon.opus import SILENCE_20_MS
from antiphon.testing import AgentFailedError
from antiphon.worker import Room, Session, Turn, Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from antiphon.testing import SimulatedRoom

    Rooms = Callable[..., SimulatedRoom]


def test_the_host_repeats_to_all_what_one_said(agent_room: Rooms) -> None:
    room = agent_room("host")
    ann, bob = room.joins(), room.joins()
    ann.says("hello there")
    heard = [member.hears() for member in (ann, bob)]
    assert [one.complete for one in heard] == [True, True]
    assert heard[0].packets == heard[1].packets
    assert {"joined": bob.id, "members": 2} in ann.messages
    assert {"speaking": ann.id, "begins": True} in bob.messages


def test_what_is_said_to_one_only_that_one_hears(agent_room: Rooms) -> None:
    async def whisperer(room: Room) -> None:
        @room.on_turn
        async def whisper(_turn: Turn, member: Session) -> None:
            await room.say(SILENCE_20_MS, to=member)
            others = await room.say([SILENCE_20_MS] * 3, but=member)
            room.send({"others": len(others)}, to=member)

    room = agent_room(whisperer)
    ann, bob, eve = room.joins(), room.joins(), room.joins()
    ann.says("psst")
    ann.until(lambda: bool(ann.messages))
    assert ann.messages == [{"others": 2}]
    assert [[len(heard.packets) for heard in member.said] for member in (ann, bob, eve)] == [[1], [3], [3]]


def test_an_utterance_is_made_once_however_many_hear_it(agent_room: Rooms) -> None:
    made = 0

    async def speech() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(200):
            made += 1
            await asyncio.sleep(0.001)
            yield SILENCE_20_MS

    async def speaker(room: Room) -> None:
        @room.on_message
        async def say(_data: Any, _member: Session) -> None:
            await room.say(speech())

    room = agent_room(speaker)
    ann, bob = room.joins(), room.joins()
    ann.sends("go")
    assert [len(member.hears().packets) for member in (ann, bob)] == [200, 200]
    assert made == 200


def test_who_leaves_in_the_middle_takes_nothing_from_the_others(agent_room: Rooms) -> None:
    async def speaker(room: Room) -> None:
        @room.on_message
        async def say(_data: Any, _member: Session) -> None:
            said = await room.say(np.zeros(16_000 * 4, np.int16), rate=16_000)
            room.send(sorted(one.complete for one in said.values()))

    room = agent_room(speaker)
    ann, bob = room.joins(), room.joins()
    bob.sends("go")
    bob.waits(1)
    ann.hangs_up()
    assert bob.hears().complete
    bob.until(lambda: bool(bob.messages))
    assert bob.messages == [[False, True]]


def test_members_come_and_go_and_the_run_ends_with_the_last(agent_room: Rooms) -> None:
    seen: list[tuple[str, str]] = []

    async def watcher(room: Room) -> None:
        room.on_join(lambda member: seen.append(("came", member.id)))
        room.on_leave(lambda member: seen.append(("left", member.id)))
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(("over", room.name))

    room = agent_room(watcher, name="kitchen")
    ann, bob = room.joins(), room.joins()
    ann.waits(0.1)
    ann.hangs_up()
    bob.waits(0.1)
    bob.hangs_up()
    assert seen == [("came", ann.id), ("came", bob.id), ("left", ann.id), ("over", "kitchen")]


def test_the_agent_hears_everybodys_frames_with_their_senders(agent_room: Rooms) -> None:
    heard: set[str] = set()

    async def listener(room: Room) -> None:
        async for member, frame in room.frames():
            assert frame.payload
            heard.add(member.id)

    room = agent_room(listener)
    ann, bob = room.joins(), room.joins()
    ann.waits(0.2)
    assert heard == {ann.id, bob.id}


def test_the_agent_can_mute_a_member(agent_room: Rooms) -> None:
    async def strict(room: Room) -> None:
        @room.on_speaking
        def hush(member: Session, speaking: bool) -> None:  # noqa: FBT001
            if speaking:
                room.mute(member)
            room.send({"muted": [one.id for one in room.members if room.muted(one)]})

    room = agent_room(strict)
    ann, bob = room.joins(), room.joins()
    ann.says("me first")
    assert (ann.muted, bob.muted) == (True, False)
    assert bob.messages[-1] == {"muted": [ann.id]}


def test_a_failing_agent_ends_the_calls_of_its_room(agent_room: Rooms) -> None:
    async def faulty(room: Room) -> None:
        @room.on_join
        async def fail(_member: Session) -> None:
            raise RuntimeError("the agent's own mistake")

    room = agent_room(faulty)
    ann = room.joins()
    with pytest.raises(AgentFailedError, match="own mistake"):
        ann.waits(1)
    assert ann.ended == "error"


def test_an_agent_of_sessions_has_a_run_for_each_member(agent_room: Rooms) -> None:
    room = agent_room("parrot")
    ann, bob = room.joins(), room.joins()
    ann.says("hello")
    assert ann.hears().complete
    assert not bob.said


def test_names_are_shared_by_both_kinds_of_agents() -> None:
    worker = Worker()

    @worker.room_agent("one")
    async def first(_room: Room) -> None: ...

    with pytest.raises(ValueError, match="twice"):

        @worker.agent("one")
        async def second(_session: Session) -> None: ...


def test_an_agent_begins_anew_with_what_the_one_before_it_wanted_to_know_of_the_room(agent_room: Rooms) -> None:
    async def counts(room: Room) -> None:
        known = await room.restored() or {"turns": 0}

        @room.on_turn
        async def count(_turn: Turn, member: Session) -> None:
            known["turns"] += 1
            room.checkpoint(known)
            member.checkpoint({"spoke": True})

    first = agent_room(counts)
    ann, bob = first.joins(), first.joins()
    for member in (ann, bob, ann):
        member.says("one more")
        member.waits(2)
    assert first.checkpoints == [{"turns": 1}, {"turns": 2}, {"turns": 3}]
    assert (len(ann.checkpoints), len(bob.checkpoints)) == (2, 1), "members' own are beside it"

    again = agent_room(counts, restored={"turns": 3})
    ann = again.joins()
    ann.says("and one")
    ann.waits(2)
    assert again.checkpoints == [{"turns": 4}]


def test_what_is_kept_of_a_room_is_kept_by_another_member_where_its_keeper_leaves(agent_room: Rooms) -> None:
    async def keeps(room: Room) -> None:
        room.on_join(lambda member: room.checkpoint([one.id for one in room.members]))

    room = agent_room(keeps)
    ann, bob = room.joins(), room.joins()
    bob.waits(0.1)
    room.checkpoints.clear()
    ann.hangs_up()
    bob.waits(0.1)
    assert room.checkpoints == [[ann.id, bob.id]]
