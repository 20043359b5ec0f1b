"""Rooms over a real cluster: callers with tones of their own hear each other, and not themselves."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from antiphon.client import RATE, Caller, CallRefusedError
from tests.support.speech import say
from tests.support.wait import until

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from antiphon.client import Hearing
    from tests.support.cluster import LocalCluster

TONES = (440, 700, 1100)
SHARE = 0.2
"""Of the power in a recording that makes a tone count as heard."""


def tone(hertz: float, seconds: float) -> NDArray[np.int16]:
    wave: NDArray[np.int16] = (9000 * np.sin(np.arange(int(seconds * RATE)) * (2 * np.pi * hertz / RATE))).astype(
        np.int16
    )
    return wave


def power(pcm: NDArray[np.int16], hertz: float) -> float:
    """Share of a recording's power that lies within 20 Hz of a tone."""
    spectrum = np.abs(np.fft.rfft(pcm.astype(np.float64))) ** 2
    frequencies = np.fft.rfftfreq(len(pcm), 1 / RATE)
    near = np.abs(frequencies - hertz) < 20
    return float(spectrum[near].sum() / max(spectrum.sum(), 1.0))


def last(call: Caller, hearing: Hearing) -> NDArray[np.int16]:
    """What came in the last second or so; nothing where the voice has ceased."""
    return hearing.pcm()[max(0, int((call.now() - 1.2) * RATE)) :]


def tones_heard(call: Caller) -> set[int]:
    """Tones that now come in any of the call's streams."""
    recordings = [last(call, hearing) for hearing in (call.hearing, *call.voices)]
    return {hertz for hertz in TONES for pcm in recordings if len(pcm) > RATE // 4 and power(pcm, hertz) > SHARE}


async def hears(call: Caller, tones: set[int]) -> bool:
    """Decoding takes its time, in which the calls must go on."""
    return await asyncio.to_thread(tones_heard, call) == tones


def has_members(call: Caller, members: int) -> bool:
    return len(call.journal.members) == members


async def test_three_callers_hear_the_others_and_not_themselves(cluster: LocalCluster) -> None:
    async with AsyncExitStack() as stack:
        calls = [await stack.enter_async_context(Caller(cluster.url, room="trio")) for _ in TONES]
        assert len({call.edge for call in calls}) == 1, "a room lives on one edge"
        players = [asyncio.create_task(call.play(tone(hertz, 120))) for call, hertz in zip(calls, TONES, strict=True)]
        for call, own in zip(calls, TONES, strict=True):
            others = set(TONES) - {own}
            await until(partial(hears, call, others), every=0.5, what=f"what {own} Hz hears")
            await call.wait_for(partial(has_members, call, 3), within=60)

        told = cluster.get("/v1/rooms/trio").json()
        assert (told["edge"], told["agent"], told["worker"], told["joining"]) == (calls[0].edge, None, None, [])
        assert {member["session"] for member in told["members"]} == {call.session for call in calls}
        assert [room["name"] for room in cluster.get("/v1/rooms").json()["rooms"]] == ["trio"]

        # Muted through the API: nobody hears it any more, and everybody is told.
        muted, hearer = calls[0], calls[1]
        reply = await asyncio.to_thread(
            httpx.patch,
            f"{cluster.url}/v1/rooms/trio/members/{muted.session}",
            json={"muted": True},
            trust_env=False,
        )
        assert (reply.status_code, reply.json()["muted"]) == (200, True)
        await until(partial(hears, hearer, {TONES[2]}), every=0.5, what="the muted tone to cease")
        await hearer.wait_for(lambda: hearer.journal.members[muted.session], within=60)

        # Heard again, by its own wish over the data channel; and the hearer wants to hear only the third.
        await muted.mute(False)
        await until(partial(hears, hearer, {TONES[0], TONES[2]}), every=0.5, what="the tone to come back")
        await hearer.hear(calls[2].session)
        await until(partial(hears, hearer, {TONES[2]}), every=0.5, what="only the third to be heard")
        assert set(hearer.journal.voices.values()) == {calls[2].session}
        for player in players:
            player.cancel()
        await asyncio.gather(*players, return_exceptions=True)
    await until(lambda: cluster.get("/v1/rooms/trio").status_code == 404, what="the room to be over")


async def test_a_caller_without_slots_hears_a_member_in_its_only_stream(cluster: LocalCluster) -> None:
    async with (
        Caller(cluster.url, room="duo", slots=0) as listener,
        Caller(cluster.url, room="duo") as speaker,
    ):
        playing = asyncio.create_task(speaker.play(tone(TONES[1], 60)))
        await until(partial(hears, listener, {TONES[1]}), every=0.5, what="the speaker's tone")
        await until(lambda: speaker.session in listener.journal.speakers, what="word of who speaks")
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)


async def test_members_can_be_sent_away_and_others_are_told(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, room="exit") as one, Caller(cluster.url, room="exit") as other:
        await one.wait_for(lambda: len(one.journal.members) == 2, within=60)
        reply = cluster.delete(f"/v1/rooms/exit/members/{other.session}")
        assert reply.status_code == 204
        await asyncio.wait_for(other.wait_ended(), 60)
        await one.wait_for(lambda: list(one.journal.members) == [one.session], within=60)
        assert cluster.delete(f"/v1/rooms/exit/members/{other.session}").status_code == 404


async def test_a_room_has_the_agent_of_its_first_member(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, room="settled", agent="parrot") as first:
        async with Caller(cluster.url, room="settled") as second:
            assert (second.edge, second.worker) == (first.edge, first.worker)
            assert (await second.info())["agent"] == "parrot"
        with pytest.raises(CallRefusedError, match="parrot") as refused:
            async with Caller(cluster.url, room="settled", agent="echo"):
                pass
        assert refused.value.status == 409


async def test_a_rooms_agent_hears_one_and_speaks_to_all(cluster: LocalCluster) -> None:
    said = say("Good morning, everybody, how are you today?", RATE)
    async with (
        Caller(cluster.url, room="hosted", agent="host") as ann,
        Caller(cluster.url, room="hosted") as bob,
    ):
        await ann.wait_for(lambda: {"joined": bob.session, "members": 2} in ann.messages, within=60)
        await ann.play(np.concatenate([np.zeros(RATE // 2, np.int16), said, np.zeros(RATE // 2, np.int16)]))
        for call in (ann, bob):
            await call.wait_for(lambda call=call: any(one.over for one in call.journal.utterances.values()), within=60)  # type: ignore[misc]
            assert call.journal.utterances[1].state == "ended"
            assert call.hearing.stretches, "the agent's voice, in the caller's first stream"
        assert {"speaking": ann.session, "begins": True} in bob.messages
        assert bob.voices[0].stretches, "and ann's own voice, in a slot"
        assert not ann.voices[0].stretches
    await until(lambda: cluster.get("/v1/rooms/hosted").status_code == 404, what="the room to be over")
