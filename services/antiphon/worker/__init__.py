"""The SDK for agents, and the worker that runs them.

An agent is an async function of a session: see Session for what it can do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.frames import Frame, Gap
from antiphon.worker.agent import Worker
from antiphon.worker.audio import Audio
from antiphon.worker.session import Session
from antiphon.worker.speaker import Said
from antiphon.worker.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from antiphon.config import Config

__all__ = ["Audio", "Frame", "Gap", "Said", "Session", "Turn", "Worker", "run"]


async def run(config: Config, agent_files: Sequence[Path] = (), processes: int = 1, reload: bool = False) -> None:  # noqa: FBT001, FBT002
    """Serves the built-in agents and those of `agent_files` until cancelled.

    With several `processes` each has an id and ports of its own. With `reload`, new sessions get the files' new code.
    Raises ConfigError.
    """
    from antiphon.worker import processes as several  # noqa: PLC0415 - agents' tests need no server
    from antiphon.worker import service  # noqa: PLC0415

    if processes > 1:
        await several.run(config, agent_files, processes, reload=reload)
    else:
        await service.run(config, agent_files, reload=reload)
