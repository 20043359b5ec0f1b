"""Where recordings are kept: a folder. A bucket (buckets.py) does the same where one is configured."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError

from antiphon.errors import AntiphonError, ConfigError
from antiphon.recordings.manifest import MANIFEST, Manifest, Track, folder_of, part_order

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from antiphon.config_recording import RecordingConfig

SILENT_S = 600.0
"""What is written each second, and was not for so long, is not written any more: its worker is gone."""


class StoreError(AntiphonError):
    """Recordings cannot be reached where they are kept."""


@dataclass(frozen=True)
class Link:
    """A way to a track: a file of this machine, or an address that is good for a while. One of them is set."""

    file: Path | None = None
    url: str | None = None


class Store(Protocol):
    """Keeps recordings. Everything raises StoreError where it cannot be reached."""

    @property
    def where(self) -> str:
        """For people."""
        ...

    @property
    def elsewhere(self) -> bool:
        """Whether what a worker has written is not there before it is taken by `keep`, and need not stay behind."""
        ...

    async def parts(self, project: str, session: str) -> list[Manifest]:
        """The parts of a session's recording, the oldest first."""
        ...

    async def link(self, manifest: Manifest, file: str) -> Link:
        """A way to one of its files."""
        ...

    async def keep(self, folder: Path, manifest: Manifest) -> None:
        """Takes what a worker has finished in `folder`."""
        ...

    async def delete(self, project: str, session: str) -> None:
        """All parts of a session's recording."""
        ...

    async def sweep(self, before: float) -> int:
        """Deletes what ended before a moment (seconds since 1970). Returns how many parts went."""
        ...


def open_store(config: RecordingConfig) -> Store | None:
    """None where nothing is recorded. Raises ConfigError where the extra for a bucket is missing."""
    if not config.enabled or config.path is None:
        return None
    if not config.url:
        return DiskStore(config.path)
    try:
        from antiphon.recordings.buckets import Bucket  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(f"recording.url needs the extra antiphon[s3]: {error}") from None
    return Bucket(config)


class DiskStore:
    """A folder, which workers and signaling may share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def where(self) -> str:
        return str(self._root)

    @property
    def elsewhere(self) -> bool:
        return False

    async def parts(self, project: str, session: str) -> list[Manifest]:
        return await asyncio.to_thread(self._parts, self._root / folder_of(project, session))

    async def link(self, manifest: Manifest, file: str) -> Link:
        return Link(file=self._root / manifest.folder / file)

    async def keep(self, folder: Path, manifest: Manifest) -> None:
        """It is here already."""

    async def delete(self, project: str, session: str) -> None:
        try:
            await asyncio.to_thread(shutil.rmtree, self._root / folder_of(project, session))
        except FileNotFoundError:
            return
        except OSError as error:
            raise _told(error) from None

    async def sweep(self, before: float) -> int:
        return await asyncio.to_thread(self._sweep, before)

    def _parts(self, folder: Path) -> list[Manifest]:
        try:
            found = [read_manifest(path) for path in folder.glob(f"*/{MANIFEST}")]
        except OSError as error:
            raise _told(error) from None
        return sorted((one for one in found if one is not None), key=lambda one: part_order(one.part))

    def _sweep(self, before: float) -> int:
        gone = 0
        try:
            for path in list(self._root.glob("*/*/*")):
                manifest = read_manifest(path / MANIFEST)
                ended = (
                    _last_written(path) if manifest is None or manifest.ended_ms is None else manifest.ended_ms / 1e3
                )
                if ended is not None and ended < before:
                    shutil.rmtree(path, ignore_errors=True)
                    gone += 1
            for folder in [*self._root.glob("*/*"), *self._root.glob("*")]:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        except OSError as error:
            raise _told(error) from None
        return gone


def read_manifest(path: Path) -> Manifest | None:
    """None where there is none that can be read. What nobody writes any more is told to be lost."""
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    if manifest.state == "recording":
        written = _last_written(path.parent)
        if written is not None and time.time() - written > SILENT_S:
            tracks = tuple(_found(path.parent))
            ended = {"state": "incomplete", "reason": "lost", "ended_ms": int(written * 1e3), "tracks": tracks}
            return manifest.model_copy(update=ended)
    return manifest


def _found(folder: Path) -> Iterator[Track]:
    for name in ("caller", "agent"):
        path = folder / f"{name}.ogg"
        if path.is_file():
            yield Track.model_validate({"track": name, "file": path.name, "bytes": path.stat().st_size})


def _last_written(folder: Path) -> float | None:
    return max(_times(folder), default=None)


def _times(folder: Path) -> Iterator[float]:
    for path in folder.iterdir():
        try:
            yield path.stat().st_mtime
        except FileNotFoundError:  # it is being deleted
            continue


def _told(error: OSError) -> StoreError:
    return StoreError(f"recordings cannot be reached: {error.strerror or error}")
