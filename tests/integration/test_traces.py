"""One trace of a real call, from the caller's own span to the first frames, as real processes send it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from antiphon.client import Caller
from tests.integration.test_calls import sentence
from tests.support.cluster import LocalCluster
from tests.support.collector import Collector, collector
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE, CALLERS_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
# Each beneath the one that it names, in the order in which they begin.
WAY = {
    "antiphon-signaling: POST /v1/sessions": "",
    "antiphon-signaling: placement": "antiphon-signaling: POST /v1/sessions",
    "antiphon-signaling: claim": "antiphon-signaling: placement",
    "antiphon-signaling: EdgeControlService/OpenSession": "antiphon-signaling: placement",
    "antiphon-edge: EdgeControlService/OpenSession": "antiphon-signaling: EdgeControlService/OpenSession",
    "antiphon-edge: link": "antiphon-edge: EdgeControlService/OpenSession",
    "antiphon-edge: connected": "antiphon-edge: EdgeControlService/OpenSession",
    "antiphon-worker: open": "antiphon-edge: EdgeControlService/OpenSession",
    "antiphon-worker: first frame in": "antiphon-worker: open",
    "antiphon-worker: first frame out": "antiphon-worker: open",
    "antiphon-worker: turn": "antiphon-signaling: POST /v1/sessions",
}


@pytest.fixture
def traced() -> Iterator[tuple[LocalCluster, Collector]]:
    agents = str(Path(__file__).with_name("agents.py"))
    with collector() as spans:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": spans.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "ANTIPHON_LOG__FORMAT": "json",
        }
        with LocalCluster("--agents", agents, "--regions", "frankfurt", "--shards", "1", env=env) as cluster:
            yield cluster, spans


async def test_a_call_is_one_trace_from_the_request_to_the_first_frames(
    traced: tuple[LocalCluster, Collector],
) -> None:
    cluster, spans = traced
    caller = Caller(cluster.url, agent="beeper")
    caller._api._http.headers["traceparent"] = f"00-{TRACE}-{CALLERS_SPAN}-01"
    async with caller as call:
        await call.play(sentence("Good morning, how are you today?"))
        await call.wait_for(lambda: bool(call.journal.traces), within=60)
        await until(lambda: set(WAY) <= set(spans.of(TRACE)), what="the spans of all services")
    found = spans.of(TRACE)
    assert found["antiphon-signaling: POST /v1/sessions"].parent == CALLERS_SPAN
    for name, above in WAY.items():
        if above:
            assert found[name].parent == found[above].id, name
    assert {span.attributes["session.id"] for span in spans.spans if span.trace == TRACE} == {call.session}
    began = [found[name].began_ns for name in WAY if name != "antiphon-worker: open"]
    assert began[:7] == sorted(began[:7]), "the request, its placement, the claim, the call, the answer"
    connected, heard = found["antiphon-edge: connected"], found["antiphon-worker: first frame in"]
    assert {"first_check", "nominated", "dtls"} <= set(connected.events)
    assert found["antiphon-worker: open"].began_ns < connected.ended_ns, "the worker knows before the caller is there"
    assert connected.began_ns < heard.ended_ns < found["antiphon-worker: first frame out"].ended_ns
    assert found["antiphon-signaling: placement"].attributes["antiphon.edge"] == call.edge
    assert found["antiphon-signaling: placement"].attributes["antiphon.worker"] == call.worker
    told = json.dumps([[span.attributes, span.events] for span in spans.spans])
    assert "ice-pwd" not in told, "no secret"
    assert "127.0.0.1" not in told, "no caller's address"
    for said in ("session placed", "session connected", "session opened"):
        lines = [line for line in cluster.log(said) if call.session in line]
        assert lines, said
        assert all(TRACE in line for line in lines), lines
