"""Redis as operators run it, out of real Valkey processes: behind TLS, watched by a Sentinel, as a Cluster."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from antiphon.cluster.embedded import valkey_program
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.certificates import Files

SERVICE = "antiphon-test"
_SLOTS = 16384


def free_ports(count: int, *, below: int = 65536) -> list[int]:
    """Ports of 127.0.0.1 that are free at this moment, each below a bound."""
    found: list[int] = []
    held: list[socket.socket] = []
    while len(found) < count:
        probe = socket.socket()
        probe.bind(("127.0.0.1", 0))
        held.append(probe)
        if probe.getsockname()[1] < below:
            found.append(probe.getsockname()[1])
    for probe in held:
        probe.close()
    return found


class Node:
    """One Valkey process; `arguments` are options of its configuration, by turns with their values."""

    def __init__(self, folder: Path, port: int, *arguments: str, sentinel: bool = False) -> None:
        self.port = port
        folder.mkdir()
        configuration = folder / "node.conf"  # a Sentinel writes into it
        lines = [f"port {port}", "bind 127.0.0.1", f'dir "{folder}"', *arguments]
        configuration.write_text("\n".join([*lines, *([] if sentinel else ['save ""'])]) + "\n")
        command = (valkey_program(), str(configuration), *(("--sentinel",) if sentinel else ()))
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def client(self) -> Redis:
        return Redis(port=self.port, decode_responses=True, socket_timeout=5)

    async def ready(self) -> None:
        async def answers() -> bool:
            with suppress(RedisError, OSError):
                async with self.client() as client:
                    return bool(await client.ping())
            return False

        await until(answers, seconds=30, what="an answer of Valkey")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


async def _ask(client: Redis, *words: str | int) -> Any:
    return await client.execute_command(*words)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def behind_tls(port: int, files: Files) -> AsyncIterator[int]:
    """Yields a port that speaks TLS, asks for a certificate, and leads to a Redis without."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.settings["authority"])
    context.load_cert_chain(files.settings["certificate"], files.settings["key"])
    context.verify_mode = ssl.CERT_REQUIRED
    pipes: set[asyncio.Task[None]] = set()

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        pipes.update((asyncio.create_task(copy(reader, back)), asyncio.create_task(copy(there, writer))))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)


class Watched:
    """A primary, its replica, and a Sentinel that makes this the primary when the other is gone."""

    def __init__(self, primary: Node, replica: Node, sentinel: Node) -> None:
        self.primary, self.replica, self.sentinel = primary, replica, sentinel
        self.url = f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}"


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    ports = free_ports(3)
    nodes: list[Node] = []
    try:
        nodes.append(Node(folder / "primary", ports[0]))
        nodes.append(
            Node(folder / "replica", ports[1], f"replicaof 127.0.0.1 {ports[0]}", "repl-diskless-sync-delay 0")
        )
        await asyncio.gather(*(node.ready() for node in nodes))
        watch = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {ports[0]} 1",
            f"sentinel down-after-milliseconds {SERVICE} 1000",
            f"sentinel failover-timeout {SERVICE} 5000",
        )
        nodes.append(Node(folder / "sentinel", ports[2], *watch, sentinel=True))
        await nodes[2].ready()
        async with nodes[2].client() as client:

            async def known() -> bool:
                found = await _ask(client, "SENTINEL", "REPLICAS", SERVICE)
                async with nodes[1].client() as replica:
                    return len(found) == 1 and (await replica.info("replication"))["master_link_status"] == "up"

            await until(known, seconds=60, every=0.1, what="a Sentinel that knows the replica")
        yield Watched(*nodes)
    finally:
        for node in nodes:
            node.end()


@asynccontextmanager
async def sharded(folder: Path) -> AsyncIterator[list[Node]]:
    """Three primaries that share the slots."""
    ports = free_ports(3, below=55536)  # the bus takes the port 10000 above
    nodes: list[Node] = []
    try:
        for number, port in enumerate(ports):
            nodes.append(Node(folder / str(number), port, "cluster-enabled yes", "cluster-node-timeout 5000"))
        await asyncio.gather(*(node.ready() for node in nodes))
        bounds = [_SLOTS * number // 3 for number in range(4)]
        for number, node in enumerate(nodes):
            async with node.client() as client:
                await _ask(client, "CLUSTER ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
                await _ask(client, "CLUSTER SET-CONFIG-EPOCH", number + 1)
                if number:
                    await _ask(client, "CLUSTER MEET", "127.0.0.1", ports[0])

        async def agree() -> bool:
            states = []
            for node in nodes:
                async with node.client() as client:
                    states.append(await _ask(client, "CLUSTER INFO"))
            return all("cluster_state:ok" in str(s).replace("'", "").replace(": ok", ":ok") for s in states)

        await until(agree, seconds=60, every=0.1, what="a Cluster that agrees")
        yield nodes
    finally:
        for node in nodes:
            node.end()
