"""`antiphon calibrate`: loads an edge and a worker of this machine with native callers until a bound is left.

What the steps mean stands in calibration.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import random
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from antiphon.callers import NoCallersError, clip_of, start_callers, vowels
from antiphon.cli import calibration, ports
from antiphon.cli.calibration import Found, Step
from antiphon.cli.output import Printer
from antiphon.cli.regions import DEFAULT
from antiphon.cli.services import FAILED, USAGE, fail
from antiphon.cli.supervisor import Supervisor
from antiphon.cli.up import Children, Plan, bring_up
from antiphon.errors import AntiphonError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HOST = "127.0.0.1"
_MOST_SESSIONS = 20_000
_RATE_S = 0.03
"""Between two set-ups."""
_SETTLE_S = 3.0
_POLL_S = 0.02
_NO_ANSWER_S = 10.0
_CLIPS = 4
_TICK = os.sysconf("SC_CLK_TCK")
ROLES = ("edge", "worker")


@dataclass(frozen=True)
class Wish:
    """The command's options. seconds: that a step is held for. talking: share of the calls that talk."""

    roles: tuple[str, ...]
    calls: int
    most: int
    seconds: float
    talking: float
    output: Path
    values: Path
    as_json: bool


@dataclass(frozen=True)
class Service:
    """A process to be measured."""

    url: str
    pid: int
    metrics: str


async def calibrate(wish: Wish) -> int:
    """Returns the exit code."""
    found: dict[str, Found] = {}
    steps: dict[str, list[Step]] = {}
    try:
        start_callers(bind=_HOST, threads=1).close()
        for role in wish.roles:
            async with _cluster() as services:
                steps[role] = await _measure(role, services[role], wish)
            found[role] = calibration.conclude(steps[role])
    except NoCallersError as error:
        fail(str(error), USAGE)
    except (AntiphonError, OSError) as error:
        fail(str(error), FAILED)
    for role, one in found.items():
        if not one.calls:
            fail(f"{role}: {one.limit}; no capacity is written. Is there other work on this machine?", FAILED)
    edge, worker = found.get("edge"), found.get("worker")
    await asyncio.to_thread(wish.output.write_text, calibration.settings(edge, worker), "utf-8")
    await asyncio.to_thread(wish.values.write_text, calibration.helm_values(edge, worker), "utf-8")
    if wish.as_json:
        report = {role: asdict(one) | {"steps": [asdict(step) for step in steps[role]]} for role, one in found.items()}
        print(json.dumps(report, indent=2))
    else:
        for line in told(found, wish):
            print(line)
    return 0


def told(found: dict[str, Found], wish: Wish) -> Iterator[str]:
    """The result, for people."""
    for role, one in found.items():
        yield f"{role}: {one.calls} calls within bounds, {one.calls_a_core} a core; {one.limit}"
        at_least = "" if one.reached else " or more"
        yield f"  capacity {one.capacity}{at_least}: {calibration.MARGIN:.0%} of that"
    yield f"written: {wish.output} (for --config), {wish.values} (for Helm)"


@contextlib.asynccontextmanager
async def _cluster() -> Any:  # noqa: ANN401 - an async generator of services by role
    """One region's edge and one worker, on this machine alone, that take any number of sessions."""
    quiet = Printer(io.StringIO())
    plan = Plan(base_port=0, regions=DEFAULT[:1], console=False)
    port = ports.any_free("tcp")
    with tempfile.TemporaryDirectory(prefix="antiphon-") as scratch:
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as http, Supervisor(quiet) as supervisor:
            children = Children(plan, scratch, http)
            children.shared |= {
                "ANTIPHON_EDGE__CAPACITY": str(_MOST_SESSIONS),
                "ANTIPHON_WORKER__CAPACITY": str(_MOST_SESSIONS),
                "ANTIPHON_LOG__LEVEL": "error",
            }
            services = {}
            for child in await bring_up(children, supervisor, _HOST, port):
                role = next(role for role in ROLES if role in child.command)
                metrics = child.env[f"ANTIPHON_{role.upper()}__HTTP_PORT"]
                url, pid = f"http://{_HOST}:{port}", supervisor.pids()[child.name]
                services[role] = Service(url, pid, f"http://{_HOST}:{metrics}/metrics")
            yield services


async def _measure(role: str, service: Service, wish: Wish) -> list[Step]:
    steps: list[Step] = []
    async with Load(service, "echo" if role == "edge" else "parrot", wish.talking) as load:
        calls: int | None = min(wish.calls, wish.most)
        while calls is not None:
            steps.append(await _held(load, role, calls, steps, wish))
            if calibration.late(steps[-1]) or calibration.left(steps[-1], steps[0]):
                break
            calls = calibration.next_calls(calls, wish.most)
    return steps


async def _held(load: Load, role: str, calls: int, before: list[Step], wish: Wish) -> Step:
    """One step. What left a bound is held once more: the machine may have had other work."""
    step = await load.step(calls, wish.seconds)
    if calibration.late(step) or calibration.left(step, (before or [step])[0]):
        step = await load.step(calls, wish.seconds)
    if not wish.as_json:
        print(_line(role, step), flush=True)
    return step


def _line(role: str, step: Step) -> str:
    parts = [f"{role}: {step.calls} calls, {100 * step.cores:.0f} % of a core"]
    if step.delay_p99_ms is not None:
        parts.append(f"frames {step.delay_p99_ms:.1f} ms (p99)")
    if step.turn_p90_ms is not None:
        parts.append(f"answers {step.turn_p90_ms:.0f} ms (p90)")
    parts.append(f"{100 * step.lost:.2f} % lost")
    return ", ".join(parts)


class Load:
    """Native callers that are added to from step to step; some talk, the others are in DTX."""

    def __init__(self, service: Service, agent: str, talking: float) -> None:
        self._service = service
        self._agent = agent
        self._talking = talking
        self._callers = start_callers(bind=_HOST, threads=1)
        self._clips = [self._callers.add_clip(clip_of(vowels(2.0, seed), 48_000)) for seed in range(_CLIPS)]
        self._http = httpx.AsyncClient(base_url=service.url, timeout=15.0, trust_env=False)
        self._calls = 0
        self._talkers: set[int] = set()
        self._due: dict[int, float] = {}
        """When a talker speaks next."""
        self._failed = 0
        self._random = random.Random(1)  # noqa: S311 - for pauses
        self._turns: list[float] = []
        self._pump: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._pump = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pump is not None:
            self._pump.cancel()
        await asyncio.to_thread(self._callers.close)
        await self._http.aclose()

    async def step(self, calls: int, seconds: float) -> Step:
        """Adds calls up to so many, lets them settle, and measures them."""
        failed = self._failed
        async with asyncio.TaskGroup() as group:
            while self._calls < calls:
                self._calls += 1
                group.create_task(self._place(talks=_spread(self._calls, self._talking)))
                await asyncio.sleep(_RATE_S)
        await asyncio.sleep(_SETTLE_S)
        before, cpu, begin = self._callers.totals(), _cpu_s(self._service.pid), asyncio.get_running_loop().time()
        self._turns.clear()
        overloaded = False
        while (now := asyncio.get_running_loop().time()) < begin + seconds:
            await asyncio.sleep(min(1.0, begin + seconds - now))
            overloaded = overloaded or await self._overloaded()
        spent = _cpu_s(self._service.pid) - cpu
        after = self._callers.totals()
        delays, lost = _traffic(before, after, echoes=self._agent == "echo")
        turns = sorted(self._turns)
        return Step(
            calls=calls,
            cores=spent / (asyncio.get_running_loop().time() - begin),
            own_late_p99_ms=_quantile(_since(before["lateness_us"], after["lateness_us"]), 0.99) or 0.0,
            delay_p99_ms=_quantile(delays, 0.99),
            lost=lost,
            turn_p90_ms=turns[int(0.9 * (len(turns) - 1))] if turns else None,
            overloaded=overloaded,
            failed=self._failed - failed,
        )

    async def _place(self, *, talks: bool) -> None:
        call, offer = self._callers.offer("all", echoes=self._agent == "echo")
        try:
            answer = await self._http.post(
                "/v1/sessions",
                params={"agent": self._agent},
                content=offer,
                headers={"Content-Type": "application/sdp"},
            )
            answer.raise_for_status()
        except httpx.HTTPError:
            self._failed += 1
            self._callers.hang_up(call)
            return
        if talks:
            self._talkers.add(call)
        self._callers.answer(call, answer.text)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_POLL_S)
            now = loop.time()
            for call, kind, ms, text in self._callers.poll():
                if kind == "turn":
                    self._turns.append(ms)
                elif kind == "ended" and text:
                    self._failed += 1
                    self._due.pop(call, None)
                elif call in self._talkers:
                    self._next(call, kind, now)
            for call in [call for call, due in self._due.items() if due <= now]:
                self._due[call] = now + 2 * _NO_ANSWER_S
                self._callers.speak(call, self._random.choice(self._clips))

    def _next(self, call: int, kind: str, now: float) -> None:
        if kind == "connected":
            self._due[call] = now + self._random.uniform(0, 2)
        elif kind == "said":
            self._due[call] = now + (self._random.uniform(0.3, 1.0) if self._agent == "echo" else _NO_ANSWER_S)
        elif kind == "agent_silent" and self._agent != "echo":
            self._due[call] = now + self._random.uniform(0.5, 1.5)

    async def _overloaded(self) -> bool:
        if self._agent == "echo":
            return False
        page = (await self._http.get(self._service.metrics)).text
        return any(line.startswith("antiphon_worker_overloaded 1") for line in page.splitlines())


def _spread(number: int, share: float) -> bool:
    """Whether the number-th of calls is one of this share, evenly spread."""
    return int(number * share) > int((number - 1) * share)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


_Bins = list[tuple[int, int]]


def _since(before: _Bins, after: _Bins) -> _Bins:
    known = dict(before)
    return [(bound, count - known.get(bound, 0)) for bound, count in after]


def _quantile(bins: Sequence[tuple[int, int]], share: float) -> float | None:
    """In ms; None of nothing."""
    total, seen = sum(count for _, count in bins), 0
    for bound, count in sorted(bins):
        seen += count
        if count and seen >= share * total:
            return bound / 1_000
    return None


def _traffic(before: dict[str, Any], after: dict[str, Any], *, echoes: bool) -> tuple[_Bins, float]:
    """Delays of a step, and the share of what did not come."""
    none = {"expected": 0, "received": 0, "voice": 0, "unechoed": 0, "delay_us": []}
    old, new = (totals["groups"].get("all", none) for totals in (before, after))
    grown = {name: new[name] - old[name] for name in ("expected", "received", "voice", "unechoed")}
    lost = max(0, grown["expected"] - grown["received"]) / grown["expected"] if grown["expected"] else 0.0
    if echoes and grown["voice"]:
        lost = max(lost, grown["unechoed"] / grown["voice"])
    return _since(old["delay_us"], new["delay_us"]), lost
