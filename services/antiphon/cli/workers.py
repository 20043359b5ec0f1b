"""`antiphon worker`: one worker in this process, or several under a supervisor."""

from __future__ import annotations

import asyncio
import functools
import sys
from typing import TYPE_CHECKING

import httpx

from antiphon.cli import ports, services
from antiphon.cli.health import answers
from antiphon.cli.output import Printer
from antiphon.cli.supervisor import Child, Supervisor
from antiphon.errors import AntiphonError

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon.config import Config


def run_worker(
    config: Config, files: tuple[Path, ...], *, processes: int, reload: bool, config_file: Path | None
) -> None:
    """Runs until a signal."""
    if processes == 1:
        from antiphon.worker import run

        services.serve(config, config.worker.id, functools.partial(run, agent_files=files, reload=reload))
        return
    arguments = [str(file) for file in files]
    arguments += ["--reload"] if reload else []
    arguments += ["--config", str(config_file)] if config_file else []
    try:
        asyncio.run(services.until_signal(_run_several(config, arguments, processes)))
    except AntiphonError as error:
        services.fail(str(error))


async def _run_several(config: Config, arguments: list[str], processes: int) -> None:
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as http, Supervisor(Printer()) as supervisor:
        await supervisor.start(*(_child(config, number, arguments, http) for number in range(processes)))
        await asyncio.Event().wait()


def _child(config: Config, number: int, arguments: list[str], http: httpx.AsyncClient) -> Child:
    """Ports of process N are 10 N above the configured ones; with 0 any free ones are taken."""
    worker = config.worker
    name = f"{worker.id}-{number}"
    link = worker.port + 10 * number if worker.port else 0
    http_port = worker.http_port + 10 * number if worker.http_port else ports.any_free(host=worker.http_host)
    env = {
        "ANTIPHON_WORKER__ID": name,
        "ANTIPHON_WORKER__PORT": str(link),
        "ANTIPHON_WORKER__HTTP_PORT": str(http_port),
    }
    if worker.advertise:
        host, _, port = worker.advertise.rpartition(":")
        env["ANTIPHON_WORKER__ADVERTISE"] = f"{host}:{int(port) + 10 * number}"
    return Child(
        name,
        (sys.executable, "-m", "antiphon.cli", "worker", *arguments),
        answers(http, worker.http_host, http_port),
        env,
    )
