"""Where recordings are to be kept: a folder that can be written and has room, a bucket that answers."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

from antiphon.cli.checks.check import Check, Role, failure, ok, warning
from antiphon.errors import ConfigError
from antiphon.recordings import StoreError, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon.config_recording import RecordingConfig

_ROOM = 2 << 30
"""Octets: about three days of one talk."""
_NOBODY = "ses_doctor_" + "0" * 20
_ANSWER_S = 10.0


async def check_recordings(role: Role, config: RecordingConfig) -> list[Check]:
    """Nothing is written; of a bucket one list is asked for."""
    if not config.enabled or config.path is None:
        return [ok("recording.enabled", "false: no session is recorded")]
    found = [await asyncio.to_thread(_folder, config.path)] if role == "worker" else []
    return [*found, await _bucket(config)] if config.url else found or [_shared(config.path)]


def _folder(path: Path) -> Check:
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        means = "Sessions that are to be recorded are not: their callers hear that it failed."
        return failure("recording.path", f"{path} cannot be written to", means, "Give it to the worker's user.")
    free = shutil.disk_usage(there).free
    fact = f"{path} can be written to, and has {free >> 20} MiB left"
    if free >= _ROOM:
        return ok("recording.path", fact)
    means = "Recordings end when the disk is full."
    return warning("recording.path", fact, means, "Give it a larger disk, or lower recording.retention_days.")


def _shared(path: Path) -> Check:
    if path.is_dir():
        return ok("recording.path", f"{path} is there: signaling gives out what workers write to it")
    means = "Signaling can only tell on which worker a recording is."
    return warning(
        "recording.path", f"{path} is not there", means, "Mount the folder that workers write to, or use a bucket."
    )


async def _bucket(config: RecordingConfig) -> Check:
    means = "Recordings stay on workers' disks, and are not given out."
    try:
        store = open_store(config)
        async with asyncio.timeout(_ANSWER_S):
            await store.parts("doctor", _NOBODY) if store is not None else None
    except (ConfigError, StoreError, TimeoutError) as error:
        words = str(error) or f"no answer within {_ANSWER_S:.0f} s"
        todo = "Check recording.url, endpoint and region, what the keys allow, and the extra antiphon[s3]."
        return failure("recording.url", f"{config.url}: {words}", means, todo)
    return ok("recording.url", f"{config.url} can be listed")
