"""aiortc, by the Python client."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from antiphon.client import Caller
from tests.interop import talk
from tests.interop.hearing import SENTENCE, verdict
from tests.interop.world import TOKEN
from tests.support import speech

if TYPE_CHECKING:
    from tests.interop.facts import Facts
    from tests.interop.world import World


def run(world: World, facts: Facts) -> None:
    facts.version = f"aiortc {version('aiortc')}, by antiphon.client"
    with world.caller.entered():
        world.path.both(talk.PERFECT)
        asyncio.run(_set_up(world, facts))
        world.path.both(talk.LOSSY)
        asyncio.run(_repeats(world, facts))
        asyncio.run(_lossy(world, facts))


async def _set_up(world: World, facts: Facts) -> None:
    async with Caller(world.url, agent="mirror", token=TOKEN) as call:
        await call.send({"number": 7})
        await call.wait_for(lambda: call.messages, within=10)
        edge = world.session(call.session)
        facts.add("sealed with", edge["security"], wanted="DTLS" in edge["security"])
        steps = ", ".join(f"{name} {us / 1000:.0f} ms" for name, us in edge["setup_us"].items())
        facts.add("set-up at a round trip of 40 ms, by the edge", steps)
        facts.add("data channel: a message and its answer", "came", wanted=call.messages[0] == {"number": 7})


async def _repeats(world: World, facts: Facts) -> None:
    async with Caller(world.url, agent="parrot", token=TOKEN) as call:
        await call.play(np.concatenate([speech.silence(1.0), speech.say(SENTENCE)]), 16000)
        await call.wait_for(lambda: any(one.over for one in call.journal.utterances.values()), within=20)
        await asyncio.sleep(0.5)
        _tell_heard(call, facts, "the parrot repeats a sentence, 5 % loss each way")


async def _lossy(world: World, facts: Facts) -> None:
    how, before = "5 % loss each way", world.path.counts()
    async with Caller(world.url, agent="echo", token=TOKEN) as call:
        pcm = np.concatenate([speech.silence(1.0), speech.say(SENTENCE)])
        await call.play(np.tile(pcm, int(talk.TALK_SECONDS * 16000 / len(pcm)) + 1), 16000)
        after, edge = world.path.counts(), world.session(call.session)
        seen = await call.statistics()
        lost = {way: after[way]["lost"] - before[way]["lost"] for way in ("up", "down")}
        facts.add(f"{how}: packets lost by the path", f"{lost['up']} up, {lost['down']} down")
        facts.add(f"{how}: at the edge", talk.told(edge["quality"]))
        facts.add(
            f"{how}: at the peer",
            f"sent {seen.packets_sent}, of which the edge reported {seen.lost_upstream} lost; "
            f"received {seen.packets_received}, missing for good {seen.lost}",
        )
        _tell_heard(call, facts, f"{how}: the echo is heard")


def _tell_heard(call: Caller, facts: Facts, what: str) -> None:
    seen, wanted = verdict(call.recording()[::3])  # 48 to 16 kHz; what folds down matters little to speech
    facts.add(what, seen, wanted=wanted)
