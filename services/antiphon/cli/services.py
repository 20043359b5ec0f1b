"""Runs one service in this process: reads its configuration, sets up logging, ends cleanly on SIGINT and SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import uvloop

from antiphon import telemetry
from antiphon.cli.output import Printer
from antiphon.errors import AntiphonError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from antiphon.config import Config

log = telemetry.get_logger("cli")

FAILED = 1
USAGE = 2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def read_config(path: Path | None) -> Config:
    """Reads the configuration; a mistake in it ends the process with one line and exit code 2."""
    from antiphon.config import load_config

    try:
        return load_config(path)
    except ConfigError as error:
        fail(str(error), USAGE)


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Says in one line on stderr what is wrong, and exits."""
    line = " ".join(message.split())
    print(f"antiphon: {line}", file=sys.stderr)
    raise SystemExit(code)


def serve(config: Config, service: str, run: Callable[[Config], Coroutine[Any, Any, None]]) -> None:
    """Runs a service until a signal. Errors in its start become one line."""
    telemetry.configure_logging(config.log, service=service)
    try:
        uvloop.run(until_signal(run(config), lambda name: log.info("stopping", signal=name)))
    except ConfigError as error:
        fail(str(error), USAGE)
    except (AntiphonError, OSError) as error:
        fail(str(error))


def supervise(work: Callable[[Printer], Coroutine[Any, Any, None]]) -> None:
    """Runs a supervisor of other processes until a signal."""
    printer = Printer()
    try:
        asyncio.run(until_signal(work(printer), lambda name: printer.say(f"Stopping on {name}")))
    except (AntiphonError, OSError) as error:
        fail(str(error))


async def until_signal(work: Coroutine[Any, Any, None], told: Callable[[str], object]) -> None:
    """Awaits work; the first SIGINT or SIGTERM cancels it and lets it clean up, the second ends the process.

    `told` hears the signal's name.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def stop(received: signal.Signals) -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        told(received.name)
        task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first plain exception of a task group: people want the cause, not the tree."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
