"""What is done to a cluster under live calls, and what came of it. A seed decides whom it hits and when."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import httpx

from antiphon.client import Caller, CallRefusedError
from tests.cluster.calls import Account, Pulse, pulses, settle
from tests.support.wait import until

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from typing import Any

    from tests.cluster.fleet import Fleet

    Scenario = Callable[[Fleet, int, random.Random], Coroutine[Any, Any, Account]]

REGIONS = ("frankfurt", "virginia")
EDGES = ("edge-frankfurt", "edge-virginia")


async def _meanwhile(rng: random.Random) -> float:
    """Some time in the middle of talking. Returns the moment."""
    await asyncio.sleep(0.3 + rng.random())
    return time.monotonic()


async def _once(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Asks in a thread: the calls go on in this loop meanwhile."""
    await until(lambda: asyncio.to_thread(condition), seconds=seconds, every=0.2, what=what)


async def drain(fleet: Fleet, count: int, rng: random.Random, *, room: str | None = None) -> Account:
    """An edge is drained over the API: its calls leave it before the deadline."""
    async with pulses(fleet.url, count, room=room) as calls:
        since = await _meanwhile(rng)
        edge = calls[0].caller.edge
        await asyncio.to_thread(fleet.post, f"/v1/edges/{edge}:drain", {"deadline_s": 60})
        await until(lambda: all(call.caller.edge != edge for call in calls), seconds=40, what="calls at another edge")
        account = await settle(calls, since)
        _together(calls)
        await _once(lambda: fleet.edges()[edge]["sessions"] == 0, "an empty edge")
        await asyncio.to_thread(fleet.post, f"/v1/edges/{edge}:undrain", {})
        await _once(lambda: not fleet.edges()[edge]["draining"], "an edge that takes sessions")
        return account


async def edge_killed(fleet: Fleet, count: int, rng: random.Random, *, room: str | None = None) -> Account:
    """An edge gets SIGKILL: its callers notice by themselves, and come back by another edge."""
    async with pulses(fleet.url, count, room=room) as calls:
        since = await _meanwhile(rng)
        edge = calls[0].caller.edge
        await asyncio.to_thread(fleet.parts[edge].kill)
        await until(lambda: all(call.caller.moves for call in calls), seconds=20, what="calls at another edge")
        _together(calls)
        account = await settle(calls, since)
        await asyncio.to_thread(fleet.restart, edge)
        return account


async def edge_stopped(fleet: Fleet, count: int, rng: random.Random, *, room: str | None = None) -> Account:
    """An edge gets SIGSTOP for some seconds, and wakes as a zombie: it must not be heard again."""
    async with pulses(fleet.url, count, room=room) as calls:
        since = await _meanwhile(rng)
        edge = calls[0].caller.edge
        fleet.parts[edge].signal(signal.SIGSTOP)
        await until(lambda: all(call.caller.moves for call in calls), seconds=20, what="calls at another edge")
        await asyncio.sleep(6.5 * rng.random())  # sometimes its lease has run out by then
        fleet.parts[edge].signal(signal.SIGCONT)
        _together(calls)
        account = await settle(calls, since, quiet_s=3.0)
        await _once(lambda: fleet.edges()[edge]["sessions"] == 0, "a zombie without sessions")
        return account


def _together(calls: Sequence[Pulse]) -> None:
    """Members of a room are at one edge, and have kept their worker."""
    if calls[0].caller.voices:
        assert len({(call.caller.edge, call.caller.worker) for call in calls}) == 1


async def worker_killed(fleet: Fleet, count: int, rng: random.Random, *, room: str | None = None) -> Account:
    """A worker gets SIGKILL: its edges give its calls to another one, whose agents go on from their checkpoints."""
    async with pulses(fleet.url, count, room=room) as calls:
        since = await _meanwhile(rng)
        worker = calls[0].caller.worker
        await asyncio.to_thread(fleet.parts[worker].kill)
        account = await _taken_over(calls, worker, since)
        if room:
            await _joined(fleet, calls, room)
        await asyncio.to_thread(fleet.restart, worker)
        return account


async def worker_stopped(fleet: Fleet, count: int, rng: random.Random, *, room: str | None = None) -> Account:
    """A worker gets SIGSTOP for some seconds, and wakes as a zombie: it must not be heard again, nor keep its calls."""
    async with pulses(fleet.url, count, room=room) as calls:
        since = await _meanwhile(rng)
        worker = calls[0].caller.worker
        fleet.parts[worker].signal(signal.SIGSTOP)
        try:
            account = await _taken_over(calls, worker, since)
            await asyncio.sleep(4.0 * rng.random())
        finally:
            fleet.parts[worker].signal(signal.SIGCONT)
        await _once(lambda: fleet.workers()[worker]["sessions"] == 0, "a zombie without sessions")
        for call in calls:
            assert await call.speaks(after=time.monotonic(), within=10)
            assert call.caller.worker != worker
            told = await asyncio.to_thread(fleet.get, f"/v1/sessions/{call.caller.session}")
            assert (told["state"], told["worker"]) == ("connected", call.caller.worker), told
        return account


async def _taken_over(calls: Sequence[Pulse], worker: str, since: float) -> Account:
    """The calls of this worker are another one's, and go on; their callers did nothing for it."""
    hit = [call for call in calls if call.caller.worker == worker]
    await until(lambda: all(call.caller.worker != worker for call in hit), seconds=20, what="calls with another worker")
    account = await settle(calls, since, same_agents=False)
    for call in hit:
        before, after = ([number for at, number in call.heard if (at < since) is early] for early in (True, False))
        # Up to two seconds were at the edge unplayed when the last checkpoint was made.
        assert abs(after[-1] - before[-1] - 50 * (call.heard[-1][0] - since)) <= 150, (before[-1], after[-1])
    if calls[0].caller.voices:
        assert len({call.caller.worker for call in calls}) == 1, "a room has one worker"
    return account


async def _joined(fleet: Fleet, calls: Sequence[Pulse], room: str) -> None:
    """Who joins a room now comes to where it is, and to the same run of its agent."""
    here = calls[0].caller
    late = Pulse(fleet.url, "virginia", room=room, name="late")
    async with late.caller:
        assert (late.caller.edge, late.caller.worker) == (here.edge, here.worker)
        assert await late.speaks(after=0.0)
        await until(partial(bool, late.others), what="the voice of another member")
        told = await late.report()
        assert told["members"] == [*(f"caller {number}" for number in range(len(calls))), "late"], told


async def signaling_killed(fleet: Fleet, count: int, rng: random.Random) -> Account:
    """A signaling node gets SIGKILL: calls do not notice, and another node serves any session."""
    async with pulses(fleet.url, count) as calls:
        since = await _meanwhile(rng)
        await asyncio.to_thread(fleet.parts["signaling-0"].kill)
        async with httpx.AsyncClient(trust_env=False) as http:
            for call in calls:
                told = (await http.get(f"{fleet.urls[1]}/v1/sessions/{call.caller.session}")).json()
                assert told["state"] == "connected", told
        account = await settle(calls, since)
        await asyncio.to_thread(fleet.restart, "signaling-0")
        return account


async def redis_gone(fleet: Fleet, count: int, rng: random.Random) -> Account:
    """Redis is killed and comes back empty: live calls are unhurt, new ones wait, and everything registers anew."""
    return await _without_redis(fleet, count, rng, fleet.valkey.kill, fleet.valkey.start)


async def redis_stopped(fleet: Fleet, count: int, rng: random.Random) -> Account:
    """Redis gets SIGSTOP for longer than the leases last: who asks it hears nothing, as in a partition."""

    def stop() -> None:
        fleet.valkey.signal(signal.SIGSTOP)

    def go_on() -> None:
        time.sleep(6.0)
        fleet.valkey.signal(signal.SIGCONT)

    return await _without_redis(fleet, count, rng, stop, go_on)


async def redis_failed_over(fleet: Fleet, count: int, rng: random.Random) -> Account:
    """Redis comes back as it was before the calls: a failover that lost the last writes."""
    await asyncio.to_thread(fleet.valkey.save)
    try:
        return await _without_redis(fleet, count, rng, fleet.valkey.kill, fleet.valkey.start)
    finally:
        fleet.valkey.forget()


CUT_OFF = ("edge-frankfurt", "signaling-1")
"""Who loses Redis in `region_cut_off`; the node places by itself meanwhile."""
CUT_OFF_SETTINGS = {"ANTIPHON_REGION__NAME": "frankfurt", "ANTIPHON_SIGNALING__WITHOUT_REDIS": "place"}


async def region_cut_off(fleet: Fleet, count: int, rng: random.Random) -> Account:
    """One region's edge and node reach Redis no more: the others go on with it, they without, none is placed twice."""
    assert fleet.relay is not None
    async with pulses(fleet.url, count) as calls, AsyncExitStack() as stack:
        since = await _meanwhile(rng)
        await asyncio.to_thread(fleet.relay.cut)
        try:
            await _once(lambda: set(fleet.edges()) == {"edge-virginia"}, "a lease that lapsed")
            elsewhere = await stack.enter_async_context(Caller(fleet.urls[0], agent="pulse", region="frankfurt"))
            assert elsewhere.edge == "edge-virginia"
            alone = await stack.enter_async_context(Caller(fleet.urls[1], agent="pulse", region="frankfurt"))
            assert alone.edge == "edge-frankfurt"
            await asyncio.sleep(2 * rng.random())
        finally:
            await asyncio.to_thread(fleet.relay.heal)
        account = await settle(calls, since)
        await _once(lambda: set(fleet.edges()) == set(EDGES), "edges that registered anew")
        everybody = {call.caller.session for call in calls} | {elsewhere.session, alone.session}
        await _once(lambda: restored(fleet, everybody), "each call once in the records")
        return account


OWN_REDIS = {f"signaling-{number}": {"ANTIPHON_REGION__NAME": name} for number, name in enumerate(REGIONS)}
"""Settings of the nodes where each region has a Redis of its own: a node stands in each."""
BEYOND = ("edge-frankfurt", "worker-0", "signaling-0")
"""Who loses the Redis of virginia in `region_redis_cut`."""


async def region_redis_gone(fleet: Fleet, count: int, rng: random.Random) -> Account:
    """The Redis of one region is killed and comes back empty: the other region places, and all calls go on."""
    valkey = fleet.valkeys["virginia"]
    return await _without_a_region(fleet, count, rng, valkey.kill, valkey.start)


async def region_redis_stopped(fleet: Fleet, count: int, rng: random.Random) -> Account:
    """The Redis of one region gets SIGSTOP for longer than the leases last."""
    valkey = fleet.valkeys["virginia"]

    def go_on() -> None:
        time.sleep(6.0)
        valkey.signal(signal.SIGCONT)

    return await _without_a_region(fleet, count, rng, lambda: valkey.signal(signal.SIGSTOP), go_on)


async def _without_a_region(
    fleet: Fleet, count: int, rng: random.Random, away: Callable[[], None], back: Callable[[], None]
) -> Account:
    """Half of the calls are of the region that loses its Redis."""
    async with _in_both(fleet, count) as calls, AsyncExitStack() as stack:
        since = await _meanwhile(rng)
        await asyncio.to_thread(away)
        try:
            new = [
                await stack.enter_async_context(Caller(url, agent="pulse", region=region))
                for url, region in zip(fleet.urls, REGIONS, strict=True)
            ]
            assert {call.edge for call in new} == {"edge-frankfurt"}, "of both nodes, whichever region was asked for"
            for call in calls:
                told = await asyncio.to_thread(fleet.ask, f"/v1/sessions/{call.caller.session}")
                assert told.status_code == (200 if call.caller.edge == "edge-frankfurt" else 503), told.text
            listed = await asyncio.to_thread(fleet.get, "/v1/sessions?live=true")
            assert listed["regions_away"] == ["virginia"]
            await asyncio.sleep(2 * rng.random())
        finally:
            await asyncio.to_thread(back)
        account = await settle(calls, since)
        await _both_are_back(fleet, {call.caller.session for call in calls} | {call.session for call in new})
        return account


async def region_redis_cut(fleet: Fleet, count: int, rng: random.Random) -> Account:
    """The Redis of one region is cut off from the other: each region's node places there, and none is placed twice."""
    assert fleet.relay is not None
    async with _in_both(fleet, count) as calls, AsyncExitStack() as stack:
        since = await _meanwhile(rng)
        await asyncio.to_thread(fleet.relay.cut)
        try:
            new = []
            for url, region in zip(fleet.urls, REGIONS, strict=True):
                new.append(await stack.enter_async_context(Caller(url, agent="pulse", region="virginia")))
                assert new[-1].edge == f"edge-{region}"
            await asyncio.sleep(6.0 + 2 * rng.random())  # what cannot renew there has lapsed
            late = await stack.enter_async_context(Caller(fleet.urls[1], agent="pulse", region="virginia"))
            assert (late.edge, late.worker) == ("edge-virginia", "worker-1"), "the worker that its Redis knows"
        finally:
            await asyncio.to_thread(fleet.relay.heal)
        account = await settle(calls, since)
        everybody = {call.caller.session for call in calls} | {call.session for call in (*new, late)}
        await _both_are_back(fleet, everybody)
        return account


@asynccontextmanager
async def _in_both(fleet: Fleet, count: int) -> AsyncIterator[list[Pulse]]:
    async with pulses(fleet.url, count - count // 2) as here, pulses(fleet.url, count // 2, "virginia") as there:
        assert {call.caller.edge for call in there} == {"edge-virginia"}
        yield [*here, *there]


async def _both_are_back(fleet: Fleet, sessions: set[str]) -> None:
    for url in fleet.urls:
        await _once(lambda url=url: set(fleet.edges(url)) == set(EDGES), "edges that registered anew")  # type: ignore[misc]
        await _once(lambda url=url: restored(fleet, sessions, url), "each call once in the records")  # type: ignore[misc]


async def clocks_jump(fleet: Fleet, count: int, rng: random.Random) -> Account:
    """The wall clocks of Redis and of all parts are set, each by itself, forward and back by up to an hour."""
    async with pulses(fleet.url, count) as calls:
        since = await _meanwhile(rng)
        epochs = []
        for _ in range(3):
            for clock in rng.sample(sorted(fleet.clocks), len(fleet.clocks)):
                fleet.clocks[clock].set(rng.choice((-3600, -60, -10, 0, 10, 60, 3600)))
                await asyncio.sleep(0.3 * rng.random())
            await _once(lambda: set(fleet.edges()) == set(EDGES), "edges whose leases hold")
            async with Caller(fleet.url, agent="pulse") as new:
                told = await asyncio.to_thread(fleet.get, f"/v1/sessions/{new.session}")
                epochs.append(told["epoch"])
        for shifted in fleet.clocks.values():
            shifted.set(0)
        assert epochs == sorted(set(epochs)), epochs
        account = await settle(calls, since)
        await _once(lambda: restored(fleet, {call.caller.session for call in calls}), "the records")
        return account


async def _without_redis(
    fleet: Fleet, count: int, rng: random.Random, away: Callable[[], None], back: Callable[[], None]
) -> Account:
    async with pulses(fleet.url, count) as calls:
        since = await _meanwhile(rng)
        await asyncio.to_thread(away)
        try:
            await until(lambda: refused(fleet.url), seconds=20, what="a refusal of new calls")
            await asyncio.sleep(2 * rng.random())
        finally:
            await asyncio.to_thread(back)
        account = await settle(calls, since)
        await _once(lambda: set(fleet.edges()) == set(EDGES), "edges that registered anew")
        await _once(lambda: restored(fleet, {call.caller.session for call in calls}), "the records")
        return account


async def refused(url: str) -> bool:
    """Whether a new call gets 503 with Retry-After."""
    try:
        async with Caller(url, agent="pulse"):
            return False
    except CallRefusedError as error:
        return error.status == 503 and (error.retry_after or 0) >= 1


def restored(fleet: Fleet, sessions: set[str], url: str = "") -> bool:
    listed = fleet.get("/v1/sessions?live=true&limit=1000", url)
    found = {one["id"]: one["state"] for one in listed.get("sessions", ())}
    taken = sum(one["sessions"] for one in fleet.edges(url).values())
    return dict.fromkeys(sessions, "connected") == found and taken == len(sessions)


async def rolling_restart(fleet: Fleet, count: int, rng: random.Random) -> Account:
    """Each edge in turn gets SIGTERM and is started again once it has ended."""
    async with pulses(fleet.url, count) as calls:
        since = await _meanwhile(rng)
        for edge in rng.sample(EDGES, len(EDGES)):
            fleet.parts[edge].signal(signal.SIGTERM)
            assert await asyncio.to_thread(fleet.parts[edge].wait_ended) == 0
            await asyncio.to_thread(fleet.restart, edge)
            await _once(lambda: set(fleet.edges()) == set(EDGES), "all edges")
        return await settle(calls, since)
