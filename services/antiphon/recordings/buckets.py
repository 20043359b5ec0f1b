"""Recordings in a bucket of any S3-compatible service, through obstore, which the extra `antiphon[s3]` brings."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store
from pydantic import ValidationError

from antiphon.recordings.manifest import MANIFEST, Manifest, folder_of, part_order
from antiphon.recordings.stores import Link, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path, PurePosixPath

    from antiphon.config_recording import RecordingConfig

_ANSWER_S = 30.0


class Bucket:
    """`url` is s3://bucket/prefix. A manifest is written last, so that what has one is whole."""

    def __init__(self, config: RecordingConfig) -> None:
        bucket, _, prefix = config.url.removeprefix("s3://").partition("/")
        self._where = config.url
        self._link_s = config.link_s
        secret = config.secret_access_key.get_secret_value()
        options = {
            "endpoint": config.endpoint,
            "region": config.region,
            "access_key_id": config.access_key_id.get_secret_value(),
            "secret_access_key": secret,
        }
        settings: Any = {name: value for name, value in options.items() if value}
        self._store = S3Store(
            bucket,
            prefix=prefix.strip("/") or None,
            config=settings,
            client_options={"allow_http": config.endpoint.startswith("http://"), "timeout": f"{_ANSWER_S:.0f}s"},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=_ANSWER_S)},
        )

    @property
    def where(self) -> str:
        return self._where

    @property
    def elsewhere(self) -> bool:
        return True

    async def parts(self, project: str, session: str) -> list[Manifest]:
        found = [await self._manifest(path) for path in await self._manifests(folder_of(project, session))]
        return sorted((one for one in found if one is not None), key=lambda one: part_order(one.part))

    async def link(self, manifest: Manifest, file: str) -> Link:
        path = str(manifest.folder / file)
        with _told(self._where):
            return Link(url=await obstore.sign_async(self._store, "GET", path, timedelta(seconds=self._link_s)))

    async def keep(self, folder: Path, manifest: Manifest) -> None:
        with _told(self._where):
            for track in manifest.tracks:
                await self._put(manifest, track.file, folder / track.file, "audio/ogg")
            await self._put(manifest, MANIFEST, manifest.model_dump_json(indent=2).encode(), "application/json")

    async def _put(self, manifest: Manifest, file: str, content: Path | bytes, kind: str) -> None:
        path = str(manifest.folder / file)
        await obstore.put_async(self._store, path, content, attributes={"Content-Type": kind})

    async def delete(self, project: str, session: str) -> None:
        await self._delete(folder_of(project, session))

    async def sweep(self, before: float) -> int:
        gone = 0
        for path in await self._manifests(None, before):
            manifest = await self._manifest(path)
            if manifest is not None and manifest.ended_ms is not None and manifest.ended_ms / 1e3 < before:
                await self._delete(manifest.folder)
                gone += 1
        return gone

    async def _manifests(self, folder: PurePosixPath | None, before: float | None = None) -> list[str]:
        """Those below a folder; with `before` only what was written before that moment."""

        def listed() -> list[str]:
            return [
                one["path"]
                for page in obstore.list(self._store, None if folder is None else f"{folder}/")
                for one in page
                if one["path"].endswith(f"/{MANIFEST}")
                and (before is None or one["last_modified"].timestamp() < before)
            ]

        with _told(self._where):
            return await asyncio.to_thread(listed)

    async def _manifest(self, path: str) -> Manifest | None:
        try:
            with _told(self._where):
                answer = await obstore.get_async(self._store, path)
                return Manifest.model_validate_json(bytes(await answer.bytes_async()))
        except (FileNotFoundError, ValidationError):
            return None

    async def _delete(self, folder: PurePosixPath) -> None:
        def delete() -> None:
            paths = [one["path"] for page in obstore.list(self._store, f"{folder}/") for one in page]
            # What has no manifest is not there: it goes first.
            for path in sorted(paths, key=lambda path: not path.endswith(MANIFEST)):
                obstore.delete(self._store, path)

        with _told(self._where):
            await asyncio.to_thread(delete)


@contextmanager
def _told(where: str) -> Iterator[None]:
    """The library's own words may hold the request with its signature."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        raise StoreError(f"{where} cannot be reached: {type(error).__name__}") from None
