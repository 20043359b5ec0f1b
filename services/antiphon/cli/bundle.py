"""`antiphon bundle SESSION`: all that is known of one session, in one file to hand on, without secrets.

Its recording is in it where there is one that the key may have, and its log lines where the logs are named.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import platform
import re
import sys
import tarfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from antiphon.cli.services import FAILED, USAGE, fail
from antiphon.client.api import Api
from antiphon.client.errors import CallError, CallRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

_SECRET = re.compile(r"secret|passw|token|credential|authorization|api_?key|ice_pwd|cookie", re.IGNORECASE)
_HIDDEN = "(left out)"
_NOT_FOUND = 404
_MOST_LOG = 32 << 20
_PACKAGES = ("antiphon", "grpcio", "redis", "onnxruntime", "aiortc", "fastapi", "uvicorn")


@dataclass(frozen=True)
class Wish:
    """The command's options."""

    session: str
    output: Path
    url: str
    token: str | None = None
    with_metadata: bool = False
    with_recording: bool = True
    logs: Sequence[Path] = ()


async def bundle(wish: Wish) -> int:
    """Returns the exit code: 0, or 1 where the session is not known or nobody answers."""
    api = Api(wish.url, wish.token)
    try:
        files = await gather(api, wish)
    except CallError as error:
        fail(str(error), FAILED)
    finally:
        await api.close()
    try:
        await asyncio.to_thread(write, wish.output, wish.session, files)
    except OSError as error:
        fail(f"{wish.output} cannot be written: {error.strerror or error}", USAGE)
    print_done(wish.output, files, files["bundle.json"]["missing"])
    return 0


def print_done(path: Path, files: Mapping[str, Any], missing: Mapping[str, str]) -> None:
    print(f"{path}: {', '.join(files)}")
    for name, why in missing.items():
        print(f"antiphon: {name} is not in it: {why}", file=sys.stderr)


async def gather(api: Api, wish: Wish) -> dict[str, Any]:
    """Documents by file name. Without the session there is no bundle; what else is refused is told in bundle.json.

    Raises CallRefusedError.
    """
    session = without_secrets(await api.session(wish.session))
    if not wish.with_metadata:
        session["metadata"] = dict.fromkeys(session.get("metadata") or {}, _HIDDEN)
    about: dict[str, Any] = {
        "session": wish.session,
        "made": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "versions": versions(),
        "missing": {},
    }
    placement = session.pop("placement", {})
    quality = {name: session.pop(name, {}) for name in ("quality", "setup_us")}
    files = {"bundle.json": about, "session.json": session, "placement.json": placement, "quality.json": quality}
    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "turns.json": lambda: api.turns(wish.session),
        "edges.json": api.edges,
        "workers.json": api.workers,
    }
    for name, ask in asked.items():
        try:
            files[name] = without_secrets(await ask())
        except CallError as error:
            about["missing"][name] = str(error)
    if wish.with_recording:
        await _recording(api, wish.session, files, about["missing"])
    for number, path in enumerate(wish.logs):
        name = f"logs/{number}-{path.name}"
        try:
            text = await asyncio.to_thread(log_tail, path, wish.session)
        except OSError as error:
            about["missing"][name] = error.strerror or str(error)
        else:
            files[name] = hidden_in(text, [wish.token] if wish.token else [])
    return files


async def _recording(api: Api, session: str, files: dict[str, Any], missing: dict[str, str]) -> None:
    try:
        found = await api.recording(session)
    except CallRefusedError as error:
        if error.status != _NOT_FOUND:
            missing["recording.json"] = str(error)
        return
    for part in found["parts"]:
        for track in part["tracks"]:
            name = f"recording/{part['part']}-{track['track']}.ogg"
            try:
                files[name] = await api.track(track["url"])
            except CallError as error:
                missing[name] = str(error)
            track.pop("url")  # one that is signed is as good as a key, for a while
    files["recording.json"] = found


def log_tail(path: Path, session: str | None = None) -> str:
    """The last lines of a log, or those that name a session. Blocks; raises OSError."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _MOST_LOG))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return "".join(f"{line}\n" for line in lines if session is None or session in line)


def hidden_in(text: str, secrets: Iterable[str]) -> str:
    """The text, with something else wherever one of these is written. Give longer ones first."""
    for secret in secrets:
        for written in {secret, json.dumps(secret)[1:-1]}:
            text = text.replace(written, _HIDDEN)
    return text


def versions() -> dict[str, str]:
    """Of what this command runs on, which may be another machine than the cluster's."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def without_secrets(document: Any) -> Any:  # noqa: ANN401 - any JSON
    """A copy in which fields whose name is a secret's have no value."""
    if isinstance(document, dict):
        return {
            key: _HIDDEN if _SECRET.search(key) and isinstance(value, str | dict | list) else without_secrets(value)
            for key, value in document.items()
        }
    if isinstance(document, list):
        return [without_secrets(one) for one in document]
    return document


def _content(document: Any) -> bytes:  # noqa: ANN401
    if isinstance(document, bytes):
        return document
    text = document if isinstance(document, str) else json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "replace")


def write(path: Path, folder: str, files: Mapping[str, Any]) -> None:
    """A tar.gz with a file for each document, readable for its owner alone, whole or not at all.

    Documents are written as JSON, texts and octets as they are.

    Raises OSError.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with (
            os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw,
            tarfile.open(fileobj=raw, mode="w:gz") as archive,
        ):
            for name, document in files.items():
                content = _content(document)
                member = tarfile.TarInfo(f"{folder}/{name}")
                member.size, member.mtime, member.mode = len(content), int(time.time()), 0o600
                archive.addfile(member, io.BytesIO(content))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
