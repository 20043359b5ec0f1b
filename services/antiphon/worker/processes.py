"""Several worker processes under one parent: each a member of the cluster, restarted when it dies."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import uvloop

from antiphon.errors import ConfigError
from antiphon.telemetry import configure_logging, get_logger
from antiphon.worker import service

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.context import SpawnProcess
    from pathlib import Path

    from antiphon.config import Config

_log = get_logger("worker.processes")
_PORT_STEP = 10
_BAD_CONFIG = 2
_STOP_S = 10.0
_LONGEST_PAUSE_S = 10.0


def config_of(config: Config, index: int) -> Config:
    """Returns the config of one of several processes: `-index` behind the id, ports 10 apart unless free-chosen."""
    worker = config.worker
    ports = {
        name: port and port + index * _PORT_STEP
        for name, port in (("port", worker.port), ("http_port", worker.http_port))
    }
    return config.model_copy(update={"worker": worker.model_copy(update={"id": f"{worker.id}-{index}", **ports})})


async def run(config: Config, agent_files: Sequence[Path], processes: int, *, reload: bool = False) -> None:
    """Runs `processes` workers until cancelled. Raises ConfigError when one finds its configuration wrong."""
    async with asyncio.TaskGroup() as group:
        for index in range(processes):
            group.create_task(_supervise(config_of(config, index), tuple(agent_files), reload=reload))


async def _supervise(config: Config, agent_files: tuple[Path, ...], *, reload: bool) -> None:
    context = multiprocessing.get_context("spawn")
    pause_s = 0.5
    while True:
        process = context.Process(target=_main, args=(config, agent_files, reload), name=config.worker.id)
        process.start()
        began = asyncio.get_running_loop().time()
        try:
            await _ended(process)
        finally:
            await _stop(process)
        if process.exitcode == _BAD_CONFIG:
            raise ConfigError(f"worker process {config.worker.id} refused its configuration; its log says why")
        lived = asyncio.get_running_loop().time() - began
        pause_s = 0.5 if lived > _LONGEST_PAUSE_S else min(pause_s * 2, _LONGEST_PAUSE_S)
        _log.error("worker process died; restarting", id=config.worker.id, exit_code=process.exitcode, pause_s=pause_s)
        await asyncio.sleep(pause_s)


async def _ended(process: SpawnProcess) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)


async def _stop(process: SpawnProcess) -> None:
    if process.is_alive():
        process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await _ended(process)
    if process.is_alive():
        process.kill()
    process.join()


def _main(config: Config, agent_files: tuple[Path, ...], reload: bool) -> None:  # noqa: FBT001 - positional through Process
    configure_logging(config.log, service=config.worker.id)
    try:
        uvloop.run(_until_signal(config, agent_files, reload=reload))
    except ConfigError as error:
        _log.error("worker cannot start", error=str(error))
        raise SystemExit(_BAD_CONFIG) from None


async def _until_signal(config: Config, agent_files: tuple[Path, ...], *, reload: bool) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(service.run(config, agent_files, reload=reload))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    threading.Thread(target=_outlive, args=(loop, task), daemon=True).start()
    with suppress(asyncio.CancelledError):
        await task


def _outlive(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    """A child does not outlive its parent, however that ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(task.cancel)
