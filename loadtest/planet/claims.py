"""Placements through a real Valkey, or several: what signaling asks for each, at a rising rate that waits for nobody.

A placement is `learned`, `claim` and `update`, one after the other, as signaling/placing.py calls them; and so often a
session of before is released. Its time counts from when it was due. The load speaks RESP itself, over some connections
with many requests under way on each, and writes only what differs into requests made before: redis-py would be
measured instead. Where there are several, each has half of the world's edges, as the Redis of its region.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from redis.asyncio import Redis

from antiphon.cluster import Cluster, EdgeRecord, WorkerRecord
from antiphon.cluster.embedded import EmbeddedValkey
from antiphon.cluster.functions import cell_key
from antiphon.cluster.records import MOVE_S, RECORD_S, SLOT_S
from antiphon.cluster.round_trips import HALF_LIFE_S
from antiphon.ids import new_session_id
from loadtest.measuring.servers import go_first
from loadtest.measuring.tools import say
from loadtest.planet.world import REGIONS, WORKER_REGIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

EDGES = 2
RATES = (1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 10_000, 12_000)
TARGET_RATE, TARGET_MS = 5000, 10.0
HOMES = ("frankfurt", "tokyo")
"""Regions that have a Redis of their own, where there are two."""
_CONNECTIONS = 8
_STEP_S, _QUICK_S = 6.0, 2.0
_SETTLE_S = 1.0
_TICK_S = 0.0005
_KEPT_UP = 0.9
_ROOM = 10_000_000
_SAMPLES, _HOLD = 8000, 256
_MOST_WAITING = 20_000
_NETWORKS = tuple(f"81.{number // 256}.{number % 256}.0/24" for number in range(4096))
_SESSION, _EPOCH = "SESSION", "EPOCH"
_PLACEMENT = json.dumps({"caller": "measured", "edges": [{"id": "x" * 16, "why": "y" * 160}] * 12, "workers": []})

Row = dict[str, str]


@dataclass
class Found:
    rows: list[Row]
    costs_us: dict[str, float] = field(default_factory=dict)
    """Valkey's own CPU time for one call, by function."""
    busy: float = 0.0
    """The machine's load average before: work of others."""
    servers: int = 1


class Line(asyncio.Protocol):
    """One connection: requests go out together, answers come in their order."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Placement | None] = deque()
        self._out: list[bytes] = []
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has no such base

    def ask(self, request: bytes, placement: Placement | None) -> None:
        """`placement` hears the answer; None hears none."""
        self._out.append(request)
        self._waiting.append(placement)

    def flush(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def data_received(self, data: bytes) -> None:
        buffer, at = self._buffer + data, 0
        while (found := _reply(buffer, at)) is not None:
            value, at = found
            placement = self._waiting.popleft()
            if placement is not None:
                placement.answered(value)
        self._buffer = buffer[at:]
        self.flush()

    def __len__(self) -> int:
        return len(self._waiting)


class Placement:
    """One on its way: learned, claim, update."""

    __slots__ = ("_due", "_line", "_load", "_region", "_session", "_stage")

    def __init__(self, load: Load, line: Line, due: float, region: str) -> None:
        self._load, self._line, self._due, self._region = load, line, due, region
        self._session = new_session_id(load.home(region))
        self._stage = 0
        line.ask(load.learned(), self)

    def answered(self, value: bytes) -> None:
        self._stage += 1
        if self._stage == 1:
            self._line.ask(self._load.claim(self._session, self._region), self)
        elif self._stage == 2:
            epoch = value.partition(b'"epoch":')[2].partition(b",")[0].strip(b'"}')
            if b'"claimed"' not in value:
                self._load.shared.refused += 1
                return
            self._line.ask(self._load.update(self._session, epoch), self)
            self._load.live.append((self._session, epoch))
        else:
            self._load.shared.took_s.append(time.perf_counter() - self._due)


@dataclass
class Counts:
    """What came of the placements, at whichever Redis."""

    took_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    """How late the load itself sent what was due: the floor of what can be measured on a busy machine."""
    refused: int = 0


class Load:
    """Requests to one Redis as they go over the wire. `home` is the region that it is of; "" for all."""

    def __init__(self, version: str, shared: Counts, home: str = "") -> None:
        self.prefix = cell_key(home) if home else cell_key()
        self.shared = shared
        self._home = home
        self._version = version
        self._edges = {region: json.dumps([f"{region}-{number}" for number in range(EDGES)]) for region in REGIONS}
        self._workers = json.dumps([f"worker-{region}" for region in WORKER_REGIONS])
        self._count = 0
        self._made: dict[tuple[str, str], bytes] = {}
        """Requests whose session and epoch are still to be written into."""
        self.live: deque[tuple[str, bytes]] = deque()

    def home(self, region: str) -> str:
        """What the id of a session names that is placed in this region."""
        return self._home or region

    def _call(self, name: str, *args: str) -> bytes:
        return _request("FCALL", f"antiphon_{name}_{self._version}", "1", self.prefix, *args)

    def _fill(self, name: str, region: str, session: str, epoch: bytes, *args: str) -> bytes:
        """SESSION and EPOCH among the arguments stand for the two."""
        made = self._made.get((name, region))
        if made is None:
            words = {_SESSION: "\0" * len(session), _EPOCH: "\1" * len(epoch)}
            made = self._made[name, region] = self._call(name, *(words.get(arg, arg) for arg in args))
        filled = made.replace(b"\0" * len(session), session.encode())
        return filled.replace(b"\1" * len(epoch), epoch) if epoch else filled

    def learned(self) -> bytes:
        self._count += 1
        network = _NETWORKS[self._count % len(_NETWORKS)]
        return self._call("learned", str(round(HALF_LIFE_S * 1000)), network, f"AS{self._count % 500}")

    def claim(self, session: str, region: str) -> bytes:
        keep, slot, move = (str(round(seconds * 1000)) for seconds in (RECORD_S, SLOT_S, MOVE_S))
        fields = ("caller", "81.2.69.160", "room", "", "metadata", "{}", "placement", "{}", "networks", "81.2.69.0/24")
        asked = (_SESSION, _SESSION, "0", "parrot", slot, keep, self._edges[region], self._workers, move, "0", "", "")
        return self._fill("claim", region, session, b"", *asked, *fields)

    def update(self, session: str, epoch: bytes) -> bytes:
        fields = ("state", "live", "ufrag", "x" * 30, "caller_ufrag", "abcd", "placement", _PLACEMENT)
        return self._fill("update", str(len(session)), session, epoch, _SESSION, _EPOCH, "", *fields)

    def release(self, session: str, epoch: bytes) -> bytes:
        words = ("60000", '{"reason":"bye"}', "1", "0", "")
        return self._fill("release", str(len(session)), session, epoch, _SESSION, _EPOCH, *words)

    def hold(self, edge: str, sessions: Sequence[tuple[str, bytes]]) -> bytes:
        """By the edge that has them: another one's word would be refused, which costs less."""
        pairs = [text for session, epoch in sessions for text in (session, epoch.decode())]
        keep, slot = str(round(RECORD_S * 1000)), str(round(SLOT_S * 1000))
        return self._call("hold", "edge", edge, "frankfurt", slot, keep, *pairs)

    def members(self) -> bytes:
        return self._call("members")


@dataclass
class Server:
    """A Valkey under load."""

    pid: int
    redis: Redis
    load: Load
    lines: list[Line]


async def measure(*, quick: bool = False, servers: int = 1) -> Found:
    """Each rate in turn, as long as the load itself keeps up; of one Valkey also what each function costs it.

    `servers`: 1, or a Valkey for each of HOMES.
    """
    async with AsyncExitStack() as stack:
        valkeys = [await stack.enter_async_context(EmbeddedValkey()) for _ in range(servers)]
        homes = HOMES[:servers] if servers > 1 else ()
        own = {home: valkey.url for home, valkey in zip(homes, valkeys, strict=False)}
        cluster = await stack.enter_async_context(Cluster(valkeys[0].url, regions=own))
        await stack.enter_async_context(_members(cluster, homes))
        shared = Counts()
        found = []
        for number, valkey in enumerate(valkeys):
            redis = await stack.enter_async_context(Redis.from_url(valkey.url, decode_responses=True))
            pid = int((await redis.info("server"))["process_id"])
            (library,) = await redis.function_list("antiphon_*")
            load = Load(library[1].removeprefix("antiphon_"), shared, homes[number] if homes else "")
            found.append(Server(pid, redis, load, [await _connect(valkey.url) for _ in range(_CONNECTIONS)]))
        for process in (*(server.pid for server in found), os.getpid()):
            go_first(process)
        rows = []
        busy = os.getloadavg()[0]
        gc.disable()  # a collection of what all the placements have left would count as lateness of Valkey's
        try:
            for rate in RATES:
                gc.collect()
                rows.append(await _at(rate, found, shared, _QUICK_S if quick else _STEP_S))
                say(", ".join(f"{name} {value}" for name, value in rows[-1].items()))
                if float(rows[-1]["placed"]) < _KEPT_UP * rate:
                    break
        finally:
            gc.enable()
        costs = await _costs(found[0]) if servers == 1 else {}
        return Found(rows, costs, busy, servers)


@asynccontextmanager
async def _members(cluster: Cluster, homes: Sequence[str]) -> AsyncIterator[None]:
    """Edges and workers that are there, as large as it takes; with `homes`, each edge is of one of these regions."""
    records: list[EdgeRecord | WorkerRecord] = [
        EdgeRecord(f"{region}-{number}", home, place.latitude, place.longitude, "127.0.0.1:1", (), _ROOM)
        for (region, place), home in zip(REGIONS.items(), _homes(homes), strict=True)
        for number in range(EDGES)
    ]
    records += [WorkerRecord(f"worker-{region}", "127.0.0.1:1", ("parrot",), _ROOM) for region in WORKER_REGIONS]
    tasks = [asyncio.create_task(cluster.keep(lambda record=record: record)) for record in records]  # type: ignore[misc]
    while not await _all_there(cluster, len(records)):  # noqa: ASYNC110 - another process cannot set an event
        await asyncio.sleep(0.05)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _all_there(cluster: Cluster, count: int) -> bool:
    workers = [len((await cell.members()).workers) for cell in cluster.cells]
    return len((await cluster.members()).ids) == count and workers == [len(WORKER_REGIONS)] * len(workers)


def _homes(homes: Sequence[str]) -> list[str]:
    """The region that has the Redis, for each of REGIONS."""
    return [homes[number % len(homes)] if homes else region for number, region in enumerate(REGIONS)]


async def _connect(url: str) -> Line:
    host, _, port = url.removeprefix("redis://").partition("/")[0].partition(":")
    _, line = await asyncio.get_running_loop().create_connection(Line, host, int(port))
    return line


async def _costs(server: Server) -> dict[str, float]:
    """Valkey's CPU time for one call of each function, in us; of `hold` for one session."""
    pid, redis, load, line = server.pid, server.redis, server.load, server.lines[0]
    sessions = [(new_session_id(region), region) for region in REGIONS for _ in range(_SAMPLES // len(REGIONS))]
    claims = [load.claim(session, region) for session, region in sessions]
    costs = {"learned": await _cost(pid, line, [load.learned() for _ in sessions])}
    costs["claim"] = await _cost(pid, line, claims)
    told = [await redis.hmget(f"{load.prefix}:session:{session}", ["epoch", "edge"]) for session, _ in sessions]
    live = [(session, str(epoch).encode()) for (session, _), (epoch, _) in zip(sessions, told, strict=True)]
    at: dict[str, list[tuple[str, bytes]]] = {}
    for one, (_, edge) in zip(live, told, strict=True):
        at.setdefault(str(edge), []).append(one)
    costs["update"] = await _cost(pid, line, [load.update(*one) for one in live])
    held = [load.hold(edge, mine[n : n + _HOLD]) for edge, mine in at.items() for n in range(0, len(mine), _HOLD)]
    costs["hold"] = await _cost(pid, line, held) * len(held) / len(live)
    costs["release"] = await _cost(pid, line, [load.release(*one) for one in live])
    costs["members"] = await _cost(pid, line, [load.members()] * 1000)
    return costs


async def _cost(pid: int, line: Line, requests: Sequence[bytes]) -> float:
    before = _cpu_s(pid)
    for request in requests:
        line.ask(request, None)
    line.flush()
    while len(line):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return 1e6 * (_cpu_s(pid) - before) / len(requests)


async def _at(rate: int, servers: Sequence[Server], shared: Counts, seconds: float) -> Row:
    """Placements become due evenly, at each Redis by turns; the first second does not count."""
    regions = list(REGIONS)
    lines = [line for server in servers for line in server.lines]
    begin, done, warm, number = time.perf_counter(), 0, False, 0
    measured_from, ours = 0.0, 0.0
    cpu = waited = [0.0] * len(servers)
    while (now := time.perf_counter() - begin) < _SETTLE_S + seconds:
        if not warm and now >= _SETTLE_S:
            warm, measured_from = True, now
            shared.took_s.clear()
            shared.late_s.clear()
            shared.refused = 0
            cpu, waited = [_cpu_s(one.pid) for one in servers], [_waited_s(one.pid) for one in servers]
            ours = time.process_time()
        due = int(now * rate)
        while done < due and sum(map(len, lines)) < _MOST_WAITING:
            number += 1
            place = number % len(regions)
            server = servers[place % len(servers)]
            line, load = server.lines[done // len(servers) % len(server.lines)], server.load
            shared.late_s.append(now - done / rate)
            Placement(load, line, begin + done / rate, regions[place])
            if len(load.live) * len(servers) > 2 * rate:
                line.ask(load.release(*load.live.popleft()), None)
            done += 1
        for line in lines:
            line.flush()
        await asyncio.sleep(_TICK_S)
    took = np.array(shared.took_s) * 1000
    elapsed = time.perf_counter() - begin - measured_from
    cores = [(_cpu_s(one.pid) - before) / elapsed for one, before in zip(servers, cpu, strict=True)]
    without = [(_waited_s(one.pid) - before) / elapsed for one, before in zip(servers, waited, strict=True)]
    row = {
        "rate": str(rate),
        "placed": f"{len(took) / elapsed:.0f}",
        "p50_ms": f"{float(np.percentile(took, 50)):.2f}",
        "p99_ms": f"{float(np.percentile(took, 99)):.2f}",
        "sent_late_p99_ms": f"{1000 * float(np.percentile(shared.late_s, 99)):.2f}",
        "refused": str(shared.refused),
        "valkey_cores": f"{max(cores):.3f}",
        "valkey_waited": f"{max(without):.3f}",
        "load_cores": f"{(time.process_time() - ours) / elapsed:.3f}",
        "all_cores": f"{sum(cores) + (time.process_time() - ours) / elapsed:.3f}",
    }
    while sum(map(len, lines)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return row


def _request(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)


def _reply(buffer: bytes, at: int) -> tuple[bytes, int] | None:
    """One answer and where the next begins; None where it is not all there. Lists are not looked into."""
    end = buffer.find(b"\r\n", at)
    if end < 0:
        return None
    kind, head = buffer[at : at + 1], buffer[at + 1 : end]
    if kind == b"$" and head != b"-1":
        last = end + 2 + int(head)
        return (buffer[end + 2 : last], last + 2) if len(buffer) >= last + 2 else None
    if kind == b"*":
        following = end + 2
        for _ in range(int(head)):
            found = _reply(buffer, following)
            if found is None:
                return None
            following = found[1]
        return b"", following
    if kind == b"-":
        raise RuntimeError(f"Valkey refuses: {head.decode()}")
    return head, end + 2


def _cpu_s(pid: int) -> float:
    """Time on a core of the thread that runs commands, in seconds: what a busy machine takes away is not in it."""
    return _schedstat(pid)[0] / 1e9


def _waited_s(pid: int) -> float:
    """Time that the same thread was ready and had no core, in seconds."""
    return _schedstat(pid)[1] / 1e9


def _schedstat(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text(encoding="ascii")
    return [int(number) for number in text.split()]
