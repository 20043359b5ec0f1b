"""The latency trace of real calls, held against what both sides of the call were recorded to be."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import httpx
import numpy as np

from antiphon.client import RATE, Caller
from antiphon.client.audio import FRAME
from tests.integration.test_calls import sentence
from tests.support.wait import until

if TYPE_CHECKING:
    from tests.support.cluster import LocalCluster

SAID = ("Good morning, how are you today?", "I would like to book a table.", "What is the weather like in Paris?")
WITHIN_S = 0.03


async def test_a_trace_says_what_both_sides_of_the_call_show(cluster: LocalCluster) -> None:
    told, shown = [], []
    async with Caller(cluster.url, agent="beeper", region="frankfurt") as call:
        await call.play(np.zeros(RATE // 2, np.int16))
        for number, text in enumerate(SAID, 1):
            _, end = await call.play(sentence(text))
            await call.wait_for(partial(call.journal.traces.__contains__, number), within=60)
            await call.wait_for(lambda: not call.journal.speaking(), within=60)
            trace = call.journal.traces[number]
            assert trace.outcome == "answered", trace
            took = dict(trace.stages)
            # This caller hears packets as they come: what a device would buffer is not in its recording.
            told.append((sum(took.values()) - took["played"]) / 1000)
            answers = [stretch.begin for stretch in call.hearing.stretches if stretch.begin > end]
            # Its frames leave when they begin; those of a microphone when they end.
            shown.append(answers[0] - end + FRAME / RATE if answers else float("nan"))
            await call.play(np.zeros(RATE // 2, np.int16))

        async def noted() -> bool:
            async with httpx.AsyncClient(base_url=cluster.url) as http:
                turns = (await http.get(f"/v1/sessions/{call.session}/turns")).json()["turns"]
            return [turn["outcome"] for turn in turns] == ["answered"] * len(SAID)

        await until(noted, what="the turns in the API")
    differences = np.subtract(told, shown)
    print("trace less recording, ms:", (differences * 1000).round(1).tolist())  # noqa: T201
    assert np.all(np.abs(differences) <= WITHIN_S), (told, shown)
