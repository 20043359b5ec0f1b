"""The SDK for agents, and the worker that runs them.

An agent is an async function of a session, or of a room: see Session and Room for what they can do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.frames import Frame, Gap
from antiphon.worker.agent import Worker
from antiphon.worker.audio import Audio
from antiphon.worker.dtmf import Dtmf
from antiphon.worker.partials import PartError, Recognizer
from antiphon.worker.quality import Quality, TurnQuality
from antiphon.worker.rooms import Room
from antiphon.worker.session import Session
from antiphon.worker.speech import Speech, Voice, Word
from antiphon.worker.turn import Turn
from antiphon.worker.utterance import Said

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from antiphon.config import Config

__all__ = [
    "Audio",
    "Dtmf",
    "Frame",
    "Gap",
    "PartError",
    "Quality",
    "Recognizer",
    "Room",
    "Said",
    "Session",
    "Speech",
    "Turn",
    "TurnQuality",
    "Voice",
    "Word",
    "Worker",
    "run",
]


async def run(config: Config, agent_files: Sequence[Path] = (), *, reload: bool = False) -> None:
    """Serves the built-in agents and those of `agent_files` until cancelled.

    With `reload`, new sessions get the files' new code. Raises ConfigError.
    """
    from antiphon.worker import service  # noqa: PLC0415 - agents' tests need no server

    await service.run(config, agent_files, reload=reload)
