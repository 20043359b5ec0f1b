"""`antiphon worker --processes N`: several workers as one command, each a member of the cluster by itself."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import httpx

from antiphon.cli import ports
from antiphon.cli.health import answers
from antiphon.cli.supervisor import Child, Patience, Supervisor

if TYPE_CHECKING:
    from antiphon.cli.output import Printer
    from antiphon.config import Config

_STEP = 10
"""Between the ports of one process and the next, unless they are free-chosen."""


async def run_several(config: Config, arguments: tuple[str, ...], processes: int, printer: Printer) -> None:
    """Runs until cancelled. `arguments` are those of `antiphon worker`, the same for each."""
    patience = Patience(stop=config.worker.drain_s + Patience.stop)
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as http, Supervisor(printer, patience) as supervisor:
        await supervisor.start(*(_child(config, index, arguments, http) for index in range(processes)))
        printer.say(f"{processes} worker processes are ready")
        await asyncio.Event().wait()


def _child(config: Config, index: int, arguments: tuple[str, ...], http: httpx.AsyncClient) -> Child:
    worker = config.worker
    name = f"{worker.id}-{index}"
    http_port = _above(worker.http_port, index) or ports.any_free(host=worker.http_host)
    env = {"ID": name, "PORT": str(_above(worker.port, index)), "HTTP_PORT": str(http_port)}
    return Child(
        name,
        (sys.executable, "-m", "antiphon.cli", "worker", *arguments),
        answers(http, worker.http_host, http_port),
        {f"ANTIPHON_WORKER__{key}": value for key, value in env.items()},
    )


def _above(port: int, index: int) -> int:
    return port and port + _STEP * index
