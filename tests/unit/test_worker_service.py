"""The worker as a service: in the cluster, with a user's agents, reloaded while calls go on."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import structlog
from pydantic import SecretStr

from antiphon.cluster import Cluster, WorkerRecord
from antiphon.cluster.embedded import EmbeddedValkey
from antiphon.config import Config, RedisConfig, WorkerConfig
from antiphon.errors import ConfigError
from antiphon.worker import run
from antiphon.worker.catalogue import load_agents
from antiphon.worker.watchdog import Watchdog
from tests.support.link_client import QUIET, LinkClient, packets_of
from tests.support.tasks import end
from tests.support.wait import until

AGENT = """
from antiphon.worker import Session, Worker
import answer_of_{name}

worker = Worker()

@worker.agent("{name}")
async def agent(session: Session) -> None:
    @session.on_message
    def answer(message: object) -> None:
        session.send(answer_of_{name}.ANSWER)
"""


def write_agent(folder: Path, name: str, answer: str) -> Path:
    (folder / f"answer_of_{name}.py").write_text(f"ANSWER = {answer!r}\n")
    path = folder / f"{name}.py"
    path.write_text(AGENT.format(name=name))
    return path


@asynccontextmanager
async def running(url: str, *files: Path, reload: bool = False) -> AsyncIterator[tuple[Cluster, WorkerRecord]]:
    config = Config(redis=RedisConfig(url=SecretStr(url)), worker=WorkerConfig(port=0, http_port=0, grace_s=0.5))
    task = asyncio.create_task(run(config, files, reload=reload))
    async with Cluster(url) as cluster:
        try:
            async with asyncio.timeout(10):
                while not (workers := await cluster.workers()) and not task.done():
                    await asyncio.wait([task], timeout=0.02)
            yield cluster, workers[0]
        finally:
            await end(task)


async def ask(link: LinkClient, session: int) -> str:
    await link.send(data={"session": session, "label": "antiphon", "payload": b'{"app": {"data": 1}}'})
    return str((await link.next_control("data")).payload, "utf-8")


async def test_worker_registers_serves_and_leaves() -> None:
    async with EmbeddedValkey() as valkey:
        with structlog.testing.capture_logs() as logs:
            async with running(valkey.url) as (cluster, record):
                assert {"echo", "parrot"} <= set(record.agents)
                async with LinkClient(record.link) as link:
                    await link.open(1, "echo")
                    await link.next_control("data")
                    await link.frames([(1, 0, QUIET)])
                    assert packets_of(await link.next_media()) == [QUIET]
                port = next(line["http_port"] for line in logs if line["event"] == "worker started")
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
                    assert (await http.get("/livez")).status_code == 200

                    async def is_ready() -> bool:
                        return (await http.get("/readyz")).status_code == 200

                    await until(is_ready)  # its models are loaded beside it
                    assert "antiphon_worker_frames_in_total" in (await http.get("/metrics")).text
        async with Cluster(valkey.url) as cluster:
            assert await cluster.workers() == []


async def test_worker_is_ready_once_the_cluster_knows_it() -> None:
    async with EmbeddedValkey() as valkey:
        await valkey.kill()
        config = Config(redis=RedisConfig(url=SecretStr(valkey.url)), worker=WorkerConfig(port=0, http_port=0))
        with structlog.testing.capture_logs() as logs:
            task = asyncio.create_task(run(config))
            await until(lambda: any(line["event"] == "cannot renew the lease; live calls go on" for line in logs))
            port = next(line["http_port"] for line in logs if line["event"] == "worker started")
            try:
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
                    assert (await http.get("/livez")).status_code == 200
                    assert (await http.get("/readyz")).status_code == 503
                    await valkey.start()

                    async def is_ready() -> bool:
                        return (await http.get("/readyz")).status_code == 200

                    await until(is_ready)
                    await valkey.kill()
                    await asyncio.sleep(1.2)
                    assert (await http.get("/readyz")).status_code == 200  # an outage is no reason to leave
            finally:
                await end(task)


async def test_a_taken_port_is_told_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = Config(worker=WorkerConfig(port=port, http_port=0))
        with pytest.raises(ConfigError, match=f"media link on 127.0.0.1:{port}, which is taken"):
            await run(config)


async def test_reload_gives_new_sessions_new_code_and_leaves_live_calls_alone(tmp_path: Path) -> None:
    path = write_agent(tmp_path, "oracle", "old")
    async with EmbeddedValkey() as valkey, running(valkey.url, path, reload=True) as (_, record):
        link = LinkClient(record.link)
        async with link:
            await link.open(1, "oracle")
            await link.next_control("data")
            assert "old" in await ask(link, 1)
            await asyncio.sleep(0.3)  # the watch is up
            with structlog.testing.capture_logs() as logs:
                write_agent(tmp_path, "oracle", "new")
                await until(lambda: any(line["event"] == "agents reloaded" for line in logs), seconds=10)
                await link.open(2, "oracle")
                await link.next_control("data")
                assert "new" in await ask(link, 2)
                assert "old" in await ask(link, 1)
                path.write_text("this is no Python")
                await until(lambda: any("not reloaded" in line["event"] for line in logs), seconds=10)
            await link.open(3, "oracle")
            await link.next_control("data")
            assert "new" in await ask(link, 3)


def test_bad_agent_files_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    with pytest.raises(ConfigError, match=r"broken\.py does not exist"):
        load_agents([broken])
    broken.write_text("1 / 0")
    with pytest.raises(ConfigError, match=r"broken\.py cannot be loaded: ZeroDivisionError"):
        load_agents([broken])
    broken.write_text("x = 1")
    with pytest.raises(ConfigError, match="has no agent"):
        load_agents([broken])
    broken.write_text("from antiphon.worker import Worker\nWorker().agent('Not A Name')")
    with pytest.raises(ConfigError, match="agent name 'Not A Name'"):
        load_agents([broken])


def test_a_file_may_replace_a_built_in_agent_but_not_anothers(tmp_path: Path) -> None:
    first, second = write_agent(tmp_path, "echo", "mine"), tmp_path / "second.py"
    second.write_text(AGENT.format(name="echo"))
    assert load_agents([first])["echo"].__module__ != load_agents([])["echo"].__module__
    with pytest.raises(ConfigError, match="'echo'"):
        load_agents([first, second])


async def test_watchdog_names_who_held_the_loop() -> None:
    async def greedy() -> None:
        await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251

    with structlog.testing.capture_logs() as logs, Watchdog():
        await asyncio.sleep(0.05)
        await asyncio.create_task(greedy(), name="ses_here_1/turn")
        await until(lambda: len(logs) >= 2)
    held, free = logs[:2]
    assert held["session"] == "ses_here_1"
    assert "time.sleep(0.2)" in held["exception"]
    assert "runners.py" not in held["exception"], "how the loop itself came to run tells nothing"
    assert 50 <= free["held_ms"] < 1000
