"""Faults for alerts to fire of: bad agents, bad networks, stopped processes, members that should not be (alerts.py)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpx
from aiortc import RTCPeerConnection
from tests.support import speech
from tests.support.detour import detour
from tests.support.impaired import NOTHING

from antiphon.client import Caller, CallError
from antiphon.cluster import Cluster, WorkerRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tests.support.cluster import LocalCluster, Valkey
    from tests.support.impaired import Impairer

SECRET = "registration-secret"  # noqa: S105 - of a cluster that lives for minutes
AGENTS = """\
import asyncio
import time

from antiphon.worker import Session, Turn, Worker

worker = Worker()


@worker.agent("broken")
async def broken(session: Session) -> None:
    raise RuntimeError("a defect")


@worker.agent("slow")
async def slow(session: Session) -> None:
    @session.on_turn
    async def reply(turn: Turn) -> None:
        await asyncio.sleep(2)
        await session.say(turn.audio)


@worker.agent("selfish")
async def selfish(session: Session) -> None:
    @session.on_turn  # so that somebody listens
    async def reply(turn: Turn) -> None: ...

    while True:  # it computes where all calls' packets are waited for
        time.sleep(0.3)
        await asyncio.sleep(0.01)
"""
_RATE = 48_000


@asynccontextmanager
async def again_and_again(fault: Callable[[], Awaitable[object]], at_once: int = 1) -> AsyncIterator[None]:
    async def repeat() -> None:
        while True:
            await fault()

    tasks = [asyncio.create_task(repeat()) for _ in range(at_once)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def broken_call(cluster: LocalCluster) -> None:
    with suppress(CallError):  # it may end while it is set up
        async with Caller(cluster.url, agent="broken"):
            await asyncio.sleep(0.5)


async def call_of_questions(cluster: LocalCluster, agent: str) -> None:
    """Asks, waits for the answer, and asks again."""
    question = speech.say("What time is it?", _RATE)
    with suppress(CallError):
        async with Caller(cluster.url, agent=agent) as caller:
            for _ in range(8):
                await caller.play(question, _RATE)
                await asyncio.sleep(4)


async def talking_call(cluster: LocalCluster, agent: str) -> None:
    """Talks on and on."""
    with suppress(CallError):
        async with Caller(cluster.url, agent=agent, timeout=60) as caller:
            while True:
                await caller.play(speech.say("This goes on, and on, and on.", _RATE), _RATE)


async def lossy_call(cluster: LocalCluster, port: int) -> None:
    """A short one, over the network behind this port."""
    caller = Caller(cluster.url, agent="echo", timeout=30)
    detour(caller, lambda _: port)
    with suppress(CallError):
        async with caller:
            for _ in range(5):
                await caller.play(speech.say("Can you hear me?", _RATE), _RATE)


async def comes_and_goes(network: Impairer) -> None:
    """Good for a while, so that calls are set up; then it loses most on the way up, longer than repair looks back."""
    network.up(NOTHING)
    await asyncio.sleep(2)
    network.up("loss=80%")
    await asyncio.sleep(5)


async def unsigned_member(valkey: Valkey, numbers: Iterator[int]) -> None:
    """Registers a worker without the secret, for a second."""
    record = WorkerRecord(id=f"stranger-{next(numbers)}", link="127.0.0.1:1", agents=("echo",), capacity=1)
    async with Cluster(valkey.url) as unsigned:
        with suppress(TimeoutError):
            await asyncio.wait_for(unsigned.keep(lambda: record), 1)


async def unreachable_worker(valkey: Valkey) -> None:
    """Registers a worker as it must, with an address where nobody listens."""
    record = WorkerRecord(id="unreachable", link="127.0.0.1:1", agents=("nobody",), capacity=1)
    async with Cluster(valkey.url, secrets=[SECRET]) as signed:
        await signed.keep(lambda: record)


@contextmanager
def stopped(cluster: LocalCluster, part: str) -> Iterator[None]:
    process = process_of(cluster, part)
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def process_of(cluster: LocalCluster, part: str) -> int:
    (process,) = (pid for pid, line in cluster.processes().items() if f"antiphon.cli {part}" in line)
    return process


async def too_busy(edge: int) -> None:
    """An edge (its process) that has no time to read."""
    os.kill(edge, signal.SIGSTOP)
    try:
        await asyncio.sleep(0.5)
    finally:
        os.kill(edge, signal.SIGCONT)
    await asyncio.sleep(0.2)


@contextmanager
def flood(port: int) -> Iterator[None]:
    """Datagrams that are no media go to this port of 127.0.0.1, some ten thousand a second."""
    over = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not over.wait(0.01):
                for _ in range(100):
                    with suppress(OSError):
                        sender.sendto(bytes([1]) * 1_000, ("127.0.0.1", port))

    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield
    finally:
        over.set()
        sending.join()


def takes_calls(cluster: LocalCluster) -> bool:
    return any(not worker["draining"] for worker in cluster.get("/v1/workers").json()["workers"])


async def offers(cluster: LocalCluster, count: int) -> tuple[int, int]:
    """Asks for calls that nobody connects; returns how many were placed and refused."""
    peer = RTCPeerConnection()
    peer.addTransceiver("audio")
    await peer.setLocalDescription(await peer.createOffer())
    body: dict[str, Any] = {"sdp": peer.localDescription.sdp, "agent": "echo"}
    async with httpx.AsyncClient(base_url=cluster.url, timeout=60, trust_env=False) as http:
        codes = [(await http.post("/v1/sessions", json=body)).status_code for _ in range(count)]
    await peer.close()
    if odd := set(codes) - {201, 503}:
        raise SystemExit(f"offers were answered {json.dumps(sorted(odd))}")
    return codes.count(201), codes.count(503)
