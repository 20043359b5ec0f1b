"""The worker as a service: `run` reads top to bottom. It ends when it is cancelled."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from watchfiles import PythonFilter, awatch

from antiphon.certificates import Certificates
from antiphon.cluster import Cluster, Draining, WorkerRecord, serve_until_drained
from antiphon.errors import ConfigError
from antiphon.garbage import set_aside
from antiphon.kubernetes import DeletionCost
from antiphon.spans import configured
from antiphon.telemetry import get_logger, serve
from antiphon.turns import TurnPolicy
from antiphon.turns.silero import SileroVoice
from antiphon.worker import metrics
from antiphon.worker.call import Hearing
from antiphon.worker.catalogue import BUILT_IN, load_agents
from antiphon.worker.checkpoints import Checkpoints
from antiphon.worker.host import Host
from antiphon.worker.leaving import Leaving
from antiphon.worker.link import LinkServer
from antiphon.worker.recording import Recordings, recordings_of
from antiphon.worker.spans import TurnSpans
from antiphon.worker.turn_log import TurnLog
from antiphon.worker.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from antiphon.config import Config

_log = get_logger("worker")


async def run(config: Config, agent_files: Sequence[Path] = (), *, reload: bool = False) -> None:
    """One process. When it is cancelled it drains, for `worker.drain_s` at most.

    Raises ConfigError when an agent file or a setting is wrong.
    """
    settings = config.worker
    agents = load_agents(agent_files)
    async with AsyncExitStack() as stack:
        stack.enter_context(Watchdog())
        voice = SileroVoice(settings.late_ms / 1000)
        stack.push_async_callback(asyncio.to_thread, voice.close)  # it waits for a thread
        voice.start(loaded=set_aside)
        tracing = configured("worker", settings.id)
        stack.push_async_callback(asyncio.to_thread, tracing.close)  # it sends what waits
        turn_log = TurnLog(TurnSpans(tracing) if tracing.records else None)
        hearing = Hearing(voice, TurnPolicy(gap_wait_s=settings.gap_wait_s), traced=turn_log.take)
        checkpoints = Checkpoints()
        recordings = recordings_of(config.recording)
        host = Host(
            agents,
            hearing,
            settings.capacity,
            grace_s=settings.grace_s,
            checkpoints=checkpoints,
            recordings=recordings,
            tracing=tracing,
        )
        deletion_cost = DeletionCost(config.kubernetes, lambda: len(host.sessions))
        certificates = Certificates(config.link_tls, "link_tls") if config.link_tls.configured else None
        server = LinkServer(
            settings.id, host, stripes=settings.stripes, certificates=certificates, secrets=config.registration_keys
        )
        if recordings is not None:
            stack.push_async_callback(recordings.close)
        stack.push_async_callback(server.stop)
        stack.push_async_callback(host.drain)
        stack.callback(server.drain)
        await server.start(settings.host, settings.port)
        link = settings.advertise or f"{settings.host}:{server.port}"
        cluster = await stack.enter_async_context(Cluster.of(config))

        draining, leaving = Draining(host.hang_up), Leaving(lambda: host.calls)

        def ready() -> bool:
            return cluster.registered and voice.ready and not draining.active

        server.serving = ready
        http_port = await stack.enter_async_context(serve(settings.http_host, settings.http_port, ready))

        def record() -> WorkerRecord:
            live = len(host.sessions)
            metrics.OVERLOADED.set(voice.overloaded)
            # Who hears late takes no more until it keeps up again.
            capacity = min(settings.capacity, live) if voice.overloaded else settings.capacity
            metrics.CAPACITY.set(capacity)
            agents, drain = tuple(sorted(host.agents)), draining.order
            return WorkerRecord(
                settings.id, link, agents, capacity, live, drain is not None, drain, projects=settings.projects
            )

        _log.info("worker started", id=settings.id, link=link, http_port=http_port, agents=" ".join(sorted(agents)))

        async def serving() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(
                    cluster.keep(
                        record,
                        lambda: host.sessions,
                        stale=host.let_go,
                        drain=draining.hear,
                        asked=leaving.rebalance,
                    )
                )
                for one in (turn_log, checkpoints, recordings):
                    if one is not None:
                        tasks.create_task(one.keep(cluster))
                tasks.create_task(deletion_cost.run())
                tasks.create_task(_tell_edges(host, leaving, cluster))
                if certificates is not None:
                    tasks.create_task(certificates.run())
                if reload:
                    tasks.create_task(_reload(host, agent_files))

        await serve_until_drained(
            serving(),
            draining,
            seconds=settings.drain_s,
            sessions=lambda: len(host.sessions) or (recordings.unsettled if recordings is not None else 0),
            empty=lambda: _wait_empty(host, recordings),
            told=cluster.hurry,
        )


async def _tell_edges(host: Host, leaving: Leaving, cluster: Cluster) -> None:
    """What they need not keep, and which callers shall leave."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(host.acknowledge())
        tasks.create_task(leaving.run(cluster))


async def _wait_empty(host: Host, recordings: Recordings | None) -> None:
    await host.wait_empty()
    if recordings is not None:
        await recordings.wait_settled()


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
