"""The worker as a service: `run` reads top to bottom. It ends when it is cancelled."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from watchfiles import PythonFilter, awatch

from antiphon.cluster import Cluster, WorkerRecord
from antiphon.errors import ConfigError
from antiphon.telemetry import get_logger, serve
from antiphon.turns import TurnPolicy
from antiphon.turns.silero import SileroVoice
from antiphon.worker import metrics
from antiphon.worker.call import Hearing
from antiphon.worker.catalogue import BUILT_IN, load_agents
from antiphon.worker.host import Host
from antiphon.worker.link import LinkServer
from antiphon.worker.spans import configured
from antiphon.worker.turn_log import TurnLog
from antiphon.worker.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from antiphon.config import Config

_log = get_logger("worker")


async def run(config: Config, agent_files: Sequence[Path] = (), *, reload: bool = False) -> None:
    """One process. Raises ConfigError when an agent file or a setting is wrong."""
    settings = config.worker
    agents = load_agents(agent_files)
    async with AsyncExitStack() as stack:
        stack.enter_context(Watchdog())
        voice = SileroVoice()
        stack.push_async_callback(asyncio.to_thread, voice.close)  # it waits for a thread
        voice.start()
        spans = configured(settings.id)
        if spans is not None:
            stack.push_async_callback(asyncio.to_thread, spans.close)  # it sends what waits
        turn_log = TurnLog(spans)
        hearing = Hearing(voice, TurnPolicy(gap_wait_s=settings.gap_wait_s), traced=turn_log.take)
        host = Host(agents, hearing, settings.capacity)
        server = LinkServer(settings.id, host, stripes=settings.stripes)
        stack.push_async_callback(server.stop)
        stack.push_async_callback(host.drain)
        stack.callback(server.drain)
        await server.start(settings.host, settings.port)
        link = settings.advertise or f"{settings.host}:{server.port}"
        cluster = await stack.enter_async_context(Cluster(config.redis.url.get_secret_value()))

        def ready() -> bool:
            return cluster.registered and voice.ready

        http_port = await stack.enter_async_context(serve(settings.http_host, settings.http_port, ready))

        def record() -> WorkerRecord:
            live = len(host.sessions)
            metrics.OVERLOADED.set(voice.overloaded)
            # Who hears late takes no more until it keeps up again.
            capacity = min(settings.capacity, live) if voice.overloaded else settings.capacity
            return WorkerRecord(settings.id, link, tuple(sorted(host.agents)), capacity, live)

        _log.info("worker started", id=settings.id, link=link, http_port=http_port, agents=" ".join(sorted(agents)))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(cluster.keep(record, lambda: host.sessions))
            tasks.create_task(turn_log.keep(cluster))
            if reload:
                tasks.create_task(_reload(host, agent_files))


async def _reload(host: Host, agent_files: Sequence[Path]) -> None:
    """New sessions get new code; a file that cannot be loaded changes nothing."""
    folders = {path.resolve().parent for path in agent_files} or {BUILT_IN}
    async for changes in awatch(*folders, watch_filter=PythonFilter(), recursive=False):
        try:
            host.agents = await asyncio.to_thread(load_agents, agent_files)  # live calls go on meanwhile
        except ConfigError as error:
            metrics.RELOADS.labels("failed").inc()
            _log.error("agents not reloaded; the old ones go on", error=str(error))
        else:
            metrics.RELOADS.labels("done").inc()
            _log.info(
                "agents reloaded", changed=sorted(path for _, path in changes), agents=" ".join(sorted(host.agents))
            )
