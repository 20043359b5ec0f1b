"""What a frame costs a worker: echo sessions over synthetic links, from 1 edge and from 20.

    PYTHONPATH=services python -m loadtest.worker_echo --sessions 200 --links 1 20

The worker runs in a process of its own. Each session sends a frame each 20 ms at a random phase; each link gathers as
its worker tells it. Printed: the worker's CPU as a share of a core and for each frame
echoed, the delay seen by the edge, what was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import random
import time
from typing import TYPE_CHECKING

import structlog
import uvloop
from tests.support.link_client import LinkClient, packets_of

from antiphon.turns import HintedVoice
from antiphon.worker.call import Hearing
from antiphon.worker.catalogue import load_agents
from antiphon.worker.host import Host
from antiphon.worker.link import LinkServer

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_PACKET = 80


def worker_process(pipe: Connection) -> None:
    uvloop.run(serve_echo(pipe, "127.0.0.1", 1))


async def serve_echo(pipe: Connection, host: str, stripes: int) -> None:
    """A worker with the echo agent; tells its port, and its CPU time whenever it is asked, until it is told to end."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    server = LinkServer("bench", Host(load_agents([]), Hearing(HintedVoice()), capacity=100_000), stripes=stripes)
    await server.start(host, 0)
    pipe.send(server.port)
    while await asyncio.to_thread(pipe.recv):
        pipe.send(time.process_time())
    await server.stop()


class Edge:
    """One link with its sessions; a packet carries the time when it was due."""

    def __init__(self, port: int, number: int, sessions: int) -> None:
        self.link = LinkClient(f"127.0.0.1:{port}", edge=f"edge-{number}")
        self.sessions = sessions
        self.sent = 0
        self.delays: list[float] = []
        self.measuring = False

    async def run(self, seconds: float, warm_up: float) -> None:
        async with self.link:
            for session in range(self.sessions):
                await self.link.open(session, "echo")
            reader = asyncio.create_task(self._read())
            try:
                await self._send(seconds, warm_up)
                await asyncio.sleep(0.3)
            finally:
                reader.cancel()

    async def _send(self, seconds: float, warm_up: float) -> None:
        start = time.monotonic()
        due = [(start + random.random() * 0.02, session) for session in range(self.sessions)]
        sequences = [0] * self.sessions
        while (now := time.monotonic()) < start + warm_up + seconds:
            self.measuring = now > start + warm_up
            rows = []
            for index, (when, session) in enumerate(due):
                if when <= now:
                    stamp = int(when * 1e9) if self.measuring else 0
                    rows.append((session, sequences[session], b"\xf8" + stamp.to_bytes(8, "big") + bytes(_PACKET - 9)))
                    sequences[session] += 1
                    due[index] = (when + 0.02, session)
            if rows:
                self.sent += len(rows) if self.measuring else 0
                await self.link.frames(rows)
            await asyncio.sleep(self.link.paces[-1] / 1e6)

    async def _read(self) -> None:
        while True:
            message = await self.link.media.get()
            now = time.monotonic_ns()
            for packet in packets_of(message):
                if stamp := int.from_bytes(packet[1:9], "big"):
                    self.delays.append((now - stamp) / 1e6)


async def measure(links: int, sessions: int, seconds: float) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=worker_process, args=(theirs,))
    process.start()
    port = await asyncio.to_thread(pipe.recv)

    async def cpu_seconds() -> float:
        pipe.send(True)
        return float(await asyncio.to_thread(pipe.recv))

    warm_up = 2.0
    edges = [Edge(port, number, sessions // links) for number in range(links)]
    runs = asyncio.gather(*(edge.run(seconds, warm_up) for edge in edges))
    await asyncio.sleep(warm_up)
    before, began = await cpu_seconds(), time.monotonic()
    await asyncio.sleep(seconds - 0.1)
    cpu, took = await cpu_seconds() - before, time.monotonic() - began
    await runs
    pipe.send(False)
    process.join()
    delays = sorted(delay for edge in edges for delay in edge.delays)
    sent = sum(edge.sent for edge in edges)
    return {
        "links": links,
        "sessions": sessions,
        "cpu_percent": 100 * cpu / took,
        "cpu_us_a_frame": 1e6 * cpu / took / (sessions * 50),
        "delay_p50_ms": delays[len(delays) // 2],
        "delay_p99_ms": delays[len(delays) * 99 // 100],
        "sent": sent,
        "lost": sent - len(delays),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--links", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    for links in options.links:
        found = uvloop.run(measure(links, options.sessions, options.seconds))
        print(
            "  ".join(
                f"{key}={value:.1f}" if isinstance(value, float) else f"{key}={value}" for key, value in found.items()
            )
        )


if __name__ == "__main__":
    main()
