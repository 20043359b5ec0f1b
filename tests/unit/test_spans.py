"""Traces: how they are handed on, what services record, and that nothing is where none is asked for."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from antiphon import spans
from antiphon.cluster import Cluster
from antiphon.config import load_config
from antiphon.edge.service import Edge
from antiphon.errors import ConfigError
from antiphon.spans import (
    OFF,
    TRACE_KEY,
    Trace,
    beneath,
    configured,
    context_in,
    handed_in,
    handed_in_call,
    headers_of,
    trace_id,
    trace_in,
    traceparent_in,
)
from antiphon.testing import SimulatedCall
from antiphon.turns import HintedVoice
from antiphon.wire.control.v1 import edge_pb2, edge_pb2_grpc
from antiphon.worker.call import Hearing
from antiphon.worker.host import Host
from antiphon.worker.link import LinkServer
from antiphon.worker.spans import SetUp, TurnSpans
from tests.support import members
from tests.support.edge_double import EdgeDouble, Refusal, serving
from tests.support.link_client import QUIET, LinkClient
from tests.support.plane import FakePlane
from tests.support.signaling import OFFER, signaling
from tests.support.spans import Kept, needs_opentelemetry
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from antiphon.cluster.embedded import EmbeddedValkey
    from antiphon.spans import Tracing
    from antiphon.worker import Session, Turn
    from antiphon.worker.transport import CallInfo

CALLERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STATE = "congo=t61rcWkgMzE,rojo=1"
ASKERS = "00-0af7651916cd43dd8448eb211c80319c-aaaaaaaaaaaaaaaa-01"


@pytest.fixture
def kept() -> Iterator[Kept]:
    found = Kept()
    yield found
    found.tracing.close()


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


# handed on


@given(st.text(max_size=80) | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", fullmatch=True))
def test_whatever_a_caller_sends_a_trace_in_version_00_or_none_is_handed_on(text: str) -> None:
    found = traceparent_in(text)
    assert found == "" or (len(found) == 55 and found.startswith("00-") and traceparent_in(found) == found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (CALLERS, CALLERS),
        ("cc" + CALLERS[2:] + "-of-the-future", CALLERS),
        (CALLERS + "-00", ""),
        ("ff" + CALLERS[2:], ""),
        (CALLERS.upper(), ""),
        (CALLERS.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), ""),
        (CALLERS.replace("b7ad6b7169203331", "0" * 16), ""),
        ("cc" + CALLERS[2:] + "-" + "x" * 512, ""),
        ("", ""),
    ],
)
def test_a_traceparent_is_read_as_w3c_says(text: str, found: str) -> None:
    assert traceparent_in(text) == found


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["root", "parent", "x"]), inner),
        max_leaves=4,
    )
)
def test_what_a_worker_is_told_makes_sense_or_counts_for_nothing(told: object) -> None:
    assert all(part == context_in(part) for part in trace_in(told))


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (["congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"], "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
        (["congo=t61rcWkgMzE", "rojo=1"], "congo=t61rcWkgMzE,rojo=1"),
        ([" a=1 ,, t1/x@y=2\t,"], "a=1,t1/x@y=2"),
        (["a=1;b"], "a=1;b"),
        ([",".join(f"a{number}=1" for number in range(32))], ",".join(f"a{number}=1" for number in range(32))),
        ([",".join(f"a{number}=1" for number in range(33))], ""),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["a="], ""),
        (["a=ü"], ""),
        (["a=" + "x" * 257], ""),
        ([f"{key}={'x' * 250}" for key in "abc"], ""),
        ([], ""),
    ],
)
def test_a_tracestate_is_read_as_w3c_says_and_never_costs_the_trace(told: list[str], found: str) -> None:
    whole = handed_in([CALLERS], told)
    assert whole == (f"{CALLERS};{found}" if found else CALLERS)
    assert handed_in([CALLERS, CALLERS], told) == handed_in([], told) == handed_in(["nonsense"], told) == ""
    assert context_in(whole) == handed_in_call(headers_of(whole)) == whole
    assert trace_id(whole) == CALLERS[3:35]


@given(st.text(max_size=200) | st.from_regex(r"([a-z]{1,3}=[a-z;]{1,3},?){1,4}", fullmatch=True))
def test_whatever_a_caller_sends_as_its_state_can_be_handed_on(text: str) -> None:
    whole = handed_in([CALLERS], [text])
    assert handed_in_call(headers_of(whole)) == context_in(whole) == whole
    assert whole.isascii()


def test_a_worker_s_spans_stand_under_what_it_was_told() -> None:
    other = CALLERS.replace("b7ad", "aaaa")
    assert trace_in({"root": CALLERS, "parent": other}) == Trace(CALLERS, other)
    assert trace_in({"root": CALLERS}) == trace_in({"parent": CALLERS}) == Trace(CALLERS, CALLERS)
    assert trace_id(CALLERS) == "0af7651916cd43dd8448eb211c80319c"
    assert trace_id(CALLERS[:-2] + "00") == "", "who asked does not record it"


# asked for, or not


def test_without_an_endpoint_nothing_is_recorded_and_a_trace_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    assert configured("edge", "edge-test") is OFF
    with OFF.span("outer", CALLERS, root=True) as outer, OFF.span("inner") as inner:
        assert outer.traceparent == inner.traceparent == spans.current() == CALLERS
        assert structlog.contextvars.get_contextvars() == {}
    assert spans.current() == ""


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_it_is_switched_off_by_the_standard_variables(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv(name, value)
    assert configured("edge", "edge-test") is OFF


def test_an_endpoint_without_the_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"pip install 'antiphon\[otel\]'"):
        configured("worker", "worker-test")


@needs_opentelemetry
def test_what_the_sampler_leaves_out_is_handed_on_and_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    kept = Kept()
    with kept.tracing.span("request", root=True) as span:
        assert span.traceparent
        assert trace_id(span.traceparent) == "", "whoever gets it does not record it either"
        with kept.tracing.span("inner"):
            pass
    with kept.tracing.span("request", CALLERS, root=True):
        pass
    assert [one.name for one in kept.spans] == ["request"], "the caller's, who records it"
    kept.tracing.close()


@needs_opentelemetry
def test_log_lines_name_the_trace_that_they_belong_to(kept: Kept) -> None:
    with kept.tracing.span("request", CALLERS, root=True) as span:
        told = structlog.contextvars.get_contextvars()
    assert told == {"trace_id": CALLERS[3:35], "span_id": span.traceparent[36:52]}
    assert structlog.contextvars.get_contextvars() == {}


@needs_opentelemetry
def test_without_a_trace_only_a_root_is_recorded(kept: Kept) -> None:
    with kept.tracing.span("call of the edge"):
        assert spans.current() == ""
    assert kept.spans == []


# signaling


@asynccontextmanager
async def asked(
    valkey: EmbeddedValkey, kept: Kept, **sections: Any
) -> AsyncIterator[tuple[Any, dict[str, EdgeDouble]]]:
    """A client of signaling, and two edges' control by id: edge-a is asked first."""
    doubles = {"edge-a": EdgeDouble(), "edge-b": EdgeDouble()}
    async with (
        serving(doubles["edge-a"]) as first,
        serving(doubles["edge-b"]) as second,
        Cluster(valkey.url) as cluster,
        members.kept(
            cluster,
            members.edge("edge-a", control=first),
            members.edge("edge-b", control=second, latitude=38.9, longitude=-77.4, region="virginia"),
            members.worker(),
        ),
        signaling(valkey, tracing=kept.tracing, **sections) as http,
    ):
        yield http, doubles


@needs_opentelemetry
async def test_a_request_its_placement_the_claim_and_the_edge_s_call_are_one_trace(
    valkey: EmbeddedValkey, kept: Kept
) -> None:
    body = {"sdp": OFFER, "region": "frankfurt", "metadata": {"name": "Ada", TRACE_KEY: {"root": "mine"}}}
    async with asked(valkey, kept) as (http, doubles):
        reply = await http.post("/v1/sessions", json=body, headers={"traceparent": CALLERS, "tracestate": STATE})
        assert reply.status_code == 201, reply.text
        told = reply.json()
        looked = (await http.get(f"/v1/sessions/{told['id']}")).json()
    request, placement, claim, call = kept.spans
    assert [one.name for one in kept.spans] == [
        "POST /v1/sessions", "placement", "claim", "EdgeControlService/OpenSession"
    ]  # fmt: skip
    assert parent_of(request) == int(CALLERS[36:52], 16)
    assert parent_of(placement) == request.context.span_id
    assert parent_of(claim) == parent_of(call) == placement.context.span_id
    assert {one.context.trace_id for one in kept.spans} == {int(CALLERS[3:35], 16)}
    assert {(one.attributes or {})["session.id"] for one in kept.spans} == {told["id"]}
    for span in (placement, claim):
        facts = span.attributes or {}
        assert (facts["antiphon.edge"], facts["antiphon.region"], facts["antiphon.worker"]) == (
            "edge-a", "frankfurt", "worker-a"
        )  # fmt: skip
        assert facts["antiphon.attempt"] == 1
        assert isinstance(facts["antiphon.cost_ms"], float)
    assert (request.attributes or {})["http.response.status_code"] == 201
    (opened,) = doubles["edge-a"].opened
    handed_on = json.loads(opened.metadata)
    assert handed_on["name"] == "Ada"
    assert trace_in(handed_on[TRACE_KEY]).root[36:52] == f"{request.context.span_id:016x}", "not what the caller says"
    assert doubles["edge-a"].traces == [(f"00-{CALLERS[3:35]}-{call.context.span_id:016x}-01", STATE)]
    assert trace_in(handed_on[TRACE_KEY]).root[56:] == STATE
    assert looked["trace_id"] == CALLERS[3:35]
    everything = str([(one.attributes, [event.attributes for event in one.events]) for one in kept.spans])
    assert "v=0" not in everything, "no offer"
    assert "127.0.0.1" not in everything, "no caller's address"


@needs_opentelemetry
async def test_an_edge_that_refuses_is_seen_and_the_next_attempt_too(valkey: EmbeddedValkey, kept: Kept) -> None:
    async with asked(valkey, kept) as (http, doubles):
        doubles["edge-a"].refusal = Refusal(grpc.StatusCode.UNAVAILABLE, "draining", "it drains")
        reply = await http.post("/v1/sessions", json={"sdp": OFFER, "region": "frankfurt"})
        assert reply.status_code == 201, reply.text
        for double in doubles.values():
            double.refusal = Refusal(grpc.StatusCode.UNAVAILABLE, "draining", "it drains")
        refused = await http.post("/v1/sessions", json={"sdp": OFFER, "region": "frankfurt"})
        assert refused.status_code == 503
        nonsense = await http.post("/v1/sessions", json={"sdp": OFFER, "agent": "nobody-knows"})
        assert nonsense.status_code == 404
    first, second, third = kept.named("placement")
    assert [(event.name, (event.attributes or {}).get("antiphon.reason")) for event in first.events] == [
        ("surveyed", None), ("refused", "draining")
    ]  # fmt: skip
    assert (first.attributes or {})["antiphon.attempt"] == 2
    attempts = [(one.attributes or {})["antiphon.attempt"] for one in kept.named("claim")]
    assert attempts == [1, 2, 1, 2]
    calls = [one.status.description for one in kept.named("EdgeControlService/OpenSession")]
    assert calls == ["draining", None, "draining", "draining"]
    assert (second.status.description, third.status.description) == ("no_edge", "unknown_agent")
    answers = [
        (one.status.is_ok, (one.attributes or {})["http.response.status_code"])
        for one in kept.named("POST /v1/sessions")
    ]
    assert answers == [(True, 201), (False, 503), (True, 404)], "what the caller did wrong is no failure of ours"
    assert all(parent_of(one) is None for one in kept.named("POST /v1/sessions")), "roots"


@needs_opentelemetry
async def test_a_move_is_a_trace_of_its_own_that_follows_the_session_s(valkey: EmbeddedValkey, kept: Kept) -> None:
    async with asked(valkey, kept) as (http, _):
        told = (await http.post("/v1/sessions", json={"sdp": OFFER, "region": "frankfurt"})).json()
        moved = await http.post(f"/v1/sessions/{told['id']}:move", json={"sdp": OFFER, "lost": ["edge-a"]})
        assert moved.status_code == 200, moved.text
        looked = (await http.get(f"/v1/sessions/{told['id']}")).json()
    made, move = kept.named("placement")
    assert made.context.trace_id != move.context.trace_id
    assert [link.context.trace_id for link in move.links] == [made.context.trace_id]
    (request,) = kept.named("POST /v1/sessions/{session}:move")
    assert (request.attributes or {})["session.id"] == told["id"]
    assert looked["trace_id"] == f"{made.context.trace_id:032x}", "the session's, not the move's"


# an edge


@asynccontextmanager
async def edge(valkey: EmbeddedValkey, tracing: Tracing) -> AsyncIterator[tuple[Any, FakePlane]]:
    """Opens a session whose asker has a span of its own; the media plane does as the test says."""
    plane = FakePlane()
    plane.up = {"worker"}
    config = load_config(redis={"url": valkey.url}, edge={"control_port": 0, "http_port": 0})
    async with Cluster(valkey.url) as cluster:
        here = Edge(config, cast("Any", plane), cluster, tracing)
        await here.start()
        try:
            async with grpc.aio.insecure_channel(here.record().control) as channel:
                stub: Any = edge_pb2_grpc.EdgeControlServiceStub(channel)

                async def open_session(**changes: Any) -> None:
                    request = {"session": "ses_test_1", "epoch": 1, "offer": "v=0", "agent": "echo", "worker": "worker"}
                    told = json.dumps({"name": "Ada", TRACE_KEY: {"root": CALLERS}})
                    asked = edge_pb2.OpenSessionRequest(**{**request, "metadata": told, **changes})
                    handed_on = (("traceparent", ASKERS), ("tracestate", STATE))
                    await stub.OpenSession(asked, timeout=30, metadata=handed_on)

                yield open_session, plane
        finally:
            await here.stop()


async def test_an_edge_that_records_nothing_hands_the_trace_on(valkey: EmbeddedValkey) -> None:
    async with edge(valkey, OFF) as (open_session, plane):
        await open_session()
        await open_session(session="ses_test_2", metadata="{}")
    first, second = (json.loads(one["metadata"]) for one in plane.opened)
    assert first == {"name": "Ada", TRACE_KEY: {"root": CALLERS, "parent": f"{ASKERS};{STATE}"}}
    assert trace_in(second[TRACE_KEY]) == Trace(f"{ASKERS};{STATE}", f"{ASKERS};{STATE}")


@needs_opentelemetry
async def test_an_edge_tells_of_its_answer_and_of_the_way_until_the_caller_is_connected(
    valkey: EmbeddedValkey, kept: Kept
) -> None:
    async with edge(valkey, kept.tracing) as (open_session, plane):
        await open_session()
        plane.happen("session_connected", "ses_test_1", epoch=1, setup_us={"first_check": 900, "dtls": 31_000})
        await until(lambda: kept.named("connected"), what="the span")
        await open_session(session="ses_test_2")
        plane.happen("session_closed", "ses_test_2", reason="timeout", setup_us={}, quality={})
        await until(lambda: len(kept.named("connected")) == 2, what="the other")
        with pytest.raises(grpc.aio.AioRpcError):
            await open_session(session="ses_test_3", offer="nonsense")
    answer, _, refused = kept.named("EdgeControlService/OpenSession")
    assert (parent_of(answer), refused.status.description) == (int(ASKERS[36:52], 16), "bad_offer")
    assert {parent_of(one) for one in kept.named("link")[:1]} == {answer.context.span_id}
    connected, gone = kept.named("connected")
    assert parent_of(connected) == answer.context.span_id
    assert [(event.name, event.timestamp - (connected.start_time or 0)) for event in connected.events] == [
        ("first_check", 900_000), ("dtls", 31_000_000)
    ]  # fmt: skip
    assert (connected.status.description, gone.status.description) == (None, "timeout")
    handed_on = trace_in(json.loads(plane.opened[0]["metadata"])[TRACE_KEY]).parent
    assert (handed_on[36:52], handed_on[56:]) == (f"{answer.context.span_id:016x}", STATE)


# a worker


async def echoing(session: Session) -> None:
    async for frame in session.frames():
        session.forward(frame)


@asynccontextmanager
async def linked(kept: Kept) -> AsyncIterator[LinkClient]:
    server = LinkServer("worker-a", Host({"echoing": echoing}, Hearing(HintedVoice()), 3, tracing=kept.tracing))
    await server.start("127.0.0.1", 0)
    try:
        async with LinkClient(f"127.0.0.1:{server.port}") as edge:
            yield edge
    finally:
        await server.stop()


@needs_opentelemetry
async def test_a_worker_tells_of_the_open_and_of_the_first_frames(kept: Kept) -> None:
    told = json.dumps({TRACE_KEY: {"root": CALLERS, "parent": CALLERS.replace("b7ad", "aaaa")}})
    async with linked(kept) as edge:
        await edge.open(1, "echoing", metadata=told)
        await edge.frames([(1, 1, QUIET), (1, 2, QUIET)])
        await until(lambda: len(kept.spans) == 3, what="three spans")
    opened, *frames = kept.spans
    assert opened.name == "open"
    assert parent_of(opened) == int("aaaa6b7169203331", 16)
    assert {one.name for one in frames} == {"first frame in", "first frame out"}
    assert {parent_of(one) for one in frames} == {opened.context.span_id}
    assert {(one.attributes or {})["session.id"] for one in kept.spans} == {"ses_edge-test_1"}
    by_name = {one.name: one.end_time or 0 for one in frames}
    assert by_name["first frame in"] <= by_name["first frame out"]


@needs_opentelemetry
async def test_a_session_that_is_refused_or_never_heard_shows_as_failed(kept: Kept) -> None:
    told = json.dumps({TRACE_KEY: {"root": CALLERS}})
    async with linked(kept) as edge:
        await edge.open(1, "nobody-knows", metadata=told)
        await edge.open(2, "echoing", metadata=told)
        await until(lambda: len(kept.named("open")) == 2, what="both to be answered")
    await until(lambda: len(kept.spans) == 3, what="three spans")
    found = {(one.name, one.status.description) for one in kept.spans}
    assert found == {("open", "unknown_agent"), ("open", None), ("first frame in", "edge")}


@needs_opentelemetry
def test_what_an_agent_records_stands_beneath_its_session_and_its_turns(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def searching(session: Session) -> None:
        with kept.tracer.start_as_current_span("prepare"):
            await asyncio.sleep(0)

        @session.on_turn
        async def answer(turn: Turn) -> None:
            with kept.tracer.start_as_current_span("search"):
                await session.say(turn.audio)

        @session.on_message
        def note(_data: object) -> None:
            with kept.tracer.start_as_current_span("note"):
                pass

    def set_up(info: CallInfo) -> SetUp:
        return SetUp(replace(info, trace=Trace(f"{CALLERS};{STATE}", ASKERS)), kept.tracing)

    monkeypatch.setattr("antiphon.worker.call.SetUp", set_up)
    with SimulatedCall(searching) as call:
        trace = Trace(f"{CALLERS};{STATE}", ASKERS)
        answering = call._call.answering
        answering._hearing = replace(answering._hearing, traced=TurnSpans(kept.tracing).export)
        answering.tracer._info = replace(answering.tracer._info, trace=trace)
        call._call.set_up.opened()
        for _ in range(2):
            call.says("hello there")
            call.hears()
        call.sends("a note")
        call.waits(1)
    (opened,), (prepared,), (noted,) = (kept.named(name) for name in ("open", "prepare", "note"))
    assert parent_of(opened) == int(ASKERS[36:52], 16)
    assert parent_of(prepared) == parent_of(noted) == opened.context.span_id
    turns, searches = ([span for span in kept.finished if span.name == name] for name in ("turn", "search"))
    assert len(turns) == 2
    assert [parent_of(one) for one in searches] == [one.context.span_id for one in turns]
    assert {parent_of(one) for one in turns} == {int(CALLERS[36:52], 16)}
    assert {one.context.trace_state.to_header() for one in (*turns, *searches)} == {STATE}


@needs_opentelemetry
async def test_a_turn_of_a_session_without_a_trace_is_the_root_of_its_agent_s_spans(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserved = kept.tracing.reserve("turn", "", root=True)
    assert context_in(reserved) == reserved
    beneath(reserved).run(lambda: kept.tracer.start_span("search").end())
    kept.tracing.begin("turn", "", root=True, reserved=reserved).end()
    search, turn = kept.finished
    assert (parent_of(search), parent_of(turn)) == (turn.context.span_id, None)
    assert search.context.trace_id == turn.context.trace_id
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    off = Kept()
    assert trace_id(off.tracing.reserve("turn", "", root=True)) == ""
    assert off.tracing.reserve("turn", "") == OFF.reserve("turn", "") == ""
    off.tracing.close()


async def test_an_agent_never_sees_the_trace_in_its_metadata() -> None:
    seen: list[dict[str, Any]] = []

    async def looking(session: Session) -> None:
        seen.append(dict(session.metadata))

    server = LinkServer("worker-a", Host({"looking": looking}, Hearing(HintedVoice()), 1))
    await server.start("127.0.0.1", 0)
    try:
        async with LinkClient(f"127.0.0.1:{server.port}") as edge:
            await edge.open(1, "looking", metadata=json.dumps({"name": "Ada", TRACE_KEY: {"root": CALLERS}}))
            await until(lambda: seen, what="the agent")
    finally:
        await server.stop()
    assert seen == [{"name": "Ada"}]
