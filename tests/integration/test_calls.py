"""Calls over a real cluster with aiortc as the other end: what is said comes back, and the API tells of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from antiphon.client import RATE, CallEndedError, Caller, CallRefusedError
from tests.support.compare import find, likeness
from tests.support.speech import say
from tests.support.wait import until

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.support.cluster import LocalCluster

REGIONS = ["frankfurt", "virginia"]


def sentence(text: str) -> NDArray[np.int16]:
    """Speech at 48 kHz without the silence around it."""
    speech = say(text, RATE)
    loud = np.flatnonzero(np.abs(speech) > 300)
    return speech[loud[0] : loud[-1]]


async def heard(call: Caller, said: NDArray[np.int16], at_least: float) -> None:
    """Waits until the recording holds what was said."""

    async def alike() -> bool:
        return await asyncio.to_thread(likeness, said, call.recording()) > at_least

    await until(alike, every=0.25, what="hearing what was said")


@pytest.mark.parametrize("region", REGIONS)
async def test_echo_sends_back_what_is_said(cluster: LocalCluster, region: str) -> None:
    said = sentence("The quick brown fox jumps over the lazy dog.")
    async with Caller(cluster.url, agent="echo", region=region) as call:
        assert call.edge == f"edge-{region}"
        begin, _ = await call.play(said)
        await heard(call, said, 0.9)
        assert find(said[: RATE // 2], call.recording()).at / RATE > begin
        statistics = await call.statistics()
    assert {"http", "ice", "dtls", "first_frame"} <= statistics.setup_ms.keys()
    assert statistics.lost == 0


@pytest.mark.parametrize("region", REGIONS)
async def test_parrot_repeats_the_turn_when_it_is_over(cluster: LocalCluster, region: str) -> None:
    said = sentence("Good morning, how are you today?")
    async with Caller(cluster.url, agent="parrot", region=region) as call:
        await call.play(np.zeros(RATE // 2, np.int16))
        _, end = await call.play(said)
        await heard(call, said[RATE // 4 :], 0.8)  # the voice detector may take its time with the onset
        assert call.edge == f"edge-{region}"
        assert find(said[RATE // 4 : RATE], call.recording()).at / RATE > end
        await call.wait_for(lambda: call.journal.utterances and not call.journal.speaking(), within=60)
    assert call.journal.turns[1].state == "ended"
    assert call.journal.utterances[1].state == "ended"


async def test_the_parrot_stops_when_the_caller_speaks_over_it(cluster: LocalCluster) -> None:
    story = sentence("Once upon a time there was a parrot that repeated every story from begin to end.")
    async with Caller(cluster.url, agent="parrot") as call:
        await call.play(story)
        await call.wait_for(call.journal.speaking, within=60)
        await until(lambda: call.hearing.stretches, what="the parrot's voice")
        await call.play(sentence("Stop, please, that is quite enough for today."))
        await call.wait_for(lambda: call.journal.utterances[1].over, within=60)
        told = call.journal.utterances[1]
        assert told.state == "flushed"
        assert told.heard_ms < told.length_ms
        assert find(story[-RATE:], call.recording()).correlation < 0.7


async def test_a_live_session_can_be_looked_up_and_leaves_its_record(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="echo", region="virginia") as call:
        await call.play(sentence("Hello."))

        async def live() -> bool:
            told = await call.info()
            return bool(told["state"] == "connected" and told["quality"].get("packets_in", 0) > 0)

        await until(live, what="the session's quality")
        listed = cluster.get("/v1/sessions").json()["sessions"]
        assert call.session in [session["id"] for session in listed]
    record = await until(lambda: ended_record(cluster, call.session), what="the session's record")
    assert record["reason"] in {"bye", "hangup", "api"}


def ended_record(cluster: LocalCluster, session: str) -> dict[str, str] | None:
    told: dict[str, str] = cluster.get(f"/v1/sessions/{session}").json()
    return told if told["state"] == "ended" else None


async def test_deleting_a_session_ends_its_call(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="echo") as call:
        await call.wait_for(lambda: call.journal.agent, within=60)  # the data channel is open
        playing = asyncio.create_task(call.play(np.zeros(600 * RATE, np.int16)))
        response = await asyncio.to_thread(cluster.delete, f"/v1/sessions/{call.session}")
        assert response.status_code in {200, 204}
        await asyncio.wait_for(call.wait_ended(), 60)
        with pytest.raises(CallEndedError):
            await playing
    assert call.journal.end_reason == "api", "the caller is told why, before the transport closes"


async def test_messages_and_metadata_reach_the_agent_and_answers_come_back(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="mirror", metadata={"customer": "Ada", "tries": 3}) as call:
        await call.send({"question": ["are", "you", "there"]})
        await call.send("metadata")
        await call.wait_for(lambda: len(call.messages) >= 2, within=60)
    assert list(call.messages) == [{"question": ["are", "you", "there"]}, {"customer": "Ada", "tries": 3}]


async def test_an_agent_s_exception_ends_its_own_session_only(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="mirror") as bystander, Caller(cluster.url, agent="faulty") as call:
        await call.send("anything")
        reason = await asyncio.wait_for(call.wait_ended(), 60)
        assert reason == "error"
        record = await until(lambda: ended_record(cluster, call.session), what="the session's record")
        assert record["reason"] == "error"
        await bystander.send("still there?")
        await bystander.wait_for(lambda: bystander.messages, within=60)
        assert not bystander.ended


async def test_an_agent_can_hang_up(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="curt") as call:
        await call.send("anything")
        await asyncio.wait_for(call.wait_ended(), 60)
    assert call.journal.end_reason in {"hangup", "enough"}


async def test_an_unknown_agent_is_refused_in_words(cluster: LocalCluster) -> None:
    with pytest.raises(CallRefusedError, match="nobody") as refused:
        async with Caller(cluster.url, agent="nobody"):
            pass
    assert refused.value.status == 404


async def test_parrot_falls_silent_when_spoken_over(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="parrot") as call:
        await call.play(np.zeros(RATE // 2, np.int16))
        await call.play(sentence("Once upon a time there was a parrot who would not stop talking whatever they did."))
        await until(lambda: call.hearing.stretches, what="the parrot's voice")
        begin, _ = await call.play(sentence("No, please."))
        await call.wait_for(lambda: call.journal.utterances[1].over, within=60)
        first = call.journal.utterances[1]
        silent_after = call.hearing.stretches[0].end - begin
    assert first.state == "flushed"
    assert 0 < first.heard_ms < first.length_ms
    assert silent_after < 0.5  # on an idle machine about 0.1 s: a frame, a window of the voice detector, the way back


async def test_the_edge_holds_the_parrot_at_the_first_word_and_the_worker_confirms(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="parrot") as call:
        await call.play(np.zeros(2 * RATE, np.int16))
        await call.play(sentence("Once upon a time there was a parrot who would not stop talking whoever asked it to."))
        await until(lambda: call.hearing.stretches, what="the parrot's voice")
        await asyncio.sleep(2)  # until the edge knows what comes back of it
        await call.play(sentence("No, please."))
        await call.wait_for(lambda: call.journal.utterances[1].over, within=60)
        quality = (await call.info())["quality"]
    assert call.journal.utterances[1].state == "flushed"
    assert quality["edge_holds"] >= 1
    assert quality["edge_holds_confirmed"] >= 1


async def test_a_call_asks_how_the_agent_shall_take_turns(cluster: LocalCluster) -> None:
    async with Caller(cluster.url, agent="mirror", turns={"eagerness": "low"}, metadata={"a": 1}) as call:
        await call.send("turns")
        await call.wait_for(lambda: call.messages, within=10)
        assert call.messages[-1] == {"eagerness": "low", "metadata": {"a": 1}}
        assert (await call.info())["metadata"] == {"a": 1}
