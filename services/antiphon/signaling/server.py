"""Runs a signaling node on uvicorn, inside an event loop that somebody else drives and ends."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from antiphon import telemetry
from antiphon.errors import ConfigError
from antiphon.garbage import set_aside
from antiphon.signaling.app import create_app
from antiphon.signaling.protocol import BoundedProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from antiphon.config import Config

_log = telemetry.get_logger("signaling")
_GRACE_S = 3


async def run(config: Config, *, started: Callable[[int], None] | None = None) -> None:
    """Serves until cancelled, then lets requests under way end. `started` hears the port.

    Raises ConfigError where the port is taken or the configuration names what is not there.
    """
    settings = config.signaling
    app = create_app(config)
    listener = _listen(settings.host, settings.port)
    port = listener.getsockname()[1]
    server = _Server(
        uvicorn.Config(
            app,
            http=BoundedProtocol,  # on h11: uvicorn's faster choice, httptools, bounds no headers
            h11_max_incomplete_event_size=settings.max_header_bytes,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # placement believes configured proxies only
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    _log.info("signaling listens", url=f"http://{_in_url(settings.host)}:{port}", policy=settings.policy)
    if started is not None:
        started(port)
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
    finally:
        listener.close()


class _Server(uvicorn.Server):
    """Leaves signals to the command line, which cancels us."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        set_aside()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(
            f"signaling cannot listen on {host}:{port}: {error.strerror}; stop what does, or set signaling.port"
        ) from None


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
