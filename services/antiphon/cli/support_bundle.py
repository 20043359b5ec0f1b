"""`antiphon bundle --cluster`: what is needed to help with a whole cluster, in one file to hand on, without secrets.

It has what the API tells of the cluster, and what this machine knows: its configuration, the doctor's findings, metrics
and logs. Secrets are left out twice: where a field holds one, and wherever one that the configuration knows is written.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

import httpx
import yaml
from pydantic import BaseModel, SecretStr

from antiphon.access import read_keys
from antiphon.addresses import host_port
from antiphon.cli.bundle import hidden_in, log_tail, print_done, versions, without_secrets, write
from antiphon.cli.checks import ROLES
from antiphon.cli.checks.ports import http_of
from antiphon.cli.doctor import examine
from antiphon.cli.services import FAILED, USAGE, fail
from antiphon.cli.status import Status
from antiphon.client.api import Api
from antiphon.client.errors import CallError
from antiphon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from antiphon.config import Config

_ANSWER_S = 5.0
_MOST_PAGE = 8 << 20
_FOLDER = "antiphon-cluster"


@dataclass(frozen=True)
class ClusterWish:
    """The command's options. `metrics` are addresses besides those that the configuration names."""

    output: Path
    url: str
    config: Config
    token: str | None = None
    logs: Sequence[Path] = ()
    metrics: Sequence[str] = ()
    missing: dict[str, str] = field(default_factory=dict)


async def support_bundle(wish: ClusterWish) -> int:
    """Returns the exit code: 0 where the file is written, whatever is missing in it; 1 where nothing answers at all."""
    secrets = sorted(secrets_of(wish.config, wish.token), key=len, reverse=True)
    try:
        files = await gather(wish)
    except CallError as error:
        fail(hidden_in(str(error), secrets), FAILED)
    clean = {name: hidden_in(text_of(document), secrets) for name, document in files.items()}
    try:
        await asyncio.to_thread(write, wish.output, _FOLDER, clean)
    except OSError as error:
        fail(f"{wish.output} cannot be written: {error.strerror or error}", USAGE)
    print_done(wish.output, clean, wish.missing)
    return 0


async def gather(wish: ClusterWish) -> dict[str, Any]:
    """Documents and texts by file name. What cannot be had is told in bundle.json."""
    about: dict[str, Any] = {
        "made": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "url": wish.url,
        "versions": versions(),
        "missing": wish.missing,
    }
    files: dict[str, Any] = {"bundle.json": about, "config.yaml": redacted(wish.config)}
    api = Api(wish.url, wish.token, timeout=_ANSWER_S)
    try:
        for name, ask in _asked(api).items():
            try:
                files[name] = without_secrets(await ask())
            except CallError as error:
                wish.missing[name] = str(error)
    finally:
        await api.close()
    found = await examine(ROLES, wish.config)
    files["doctor.json"] = {name: [asdict(check) for check in checks] for name, checks in found.items()}
    await _metrics(wish, files)
    for number, path in enumerate(wish.logs):
        try:
            files[f"logs/{number}-{path.name}"] = await asyncio.to_thread(log_tail, path)
        except OSError as error:
            wish.missing[f"logs/{number}-{path.name}"] = error.strerror or str(error)
    return files


def _asked(api: Api) -> dict[str, Callable[[], Awaitable[Any]]]:
    async def status() -> dict[str, Any]:
        edges, workers = await asyncio.gather(api.edges(), api.workers())
        return Status(edges, workers).document()

    async def sessions() -> list[dict[str, Any]]:
        kept = ("id", "state", "agent", "edge", "worker", "region", "room", "reason", "created_ms", "ended_ms")
        return [{name: one.get(name) for name in kept} for one in await api.sessions()]

    return {"status.json": status, "sessions.json": sessions, "regions.json": api.regions, "events.json": api.events}


async def _metrics(wish: ClusterWish, files: dict[str, Any]) -> None:
    own = {role: http_of(role, wish.config) for role in ROLES}
    pages = {f"{role}": f"http://{host_port(_here(host), port)}/metrics" for role, (host, port) in own.items() if port}
    pages |= {"signaling": f"{wish.url.rstrip('/')}/metrics"}
    pages |= {f"{number}-{urlsplit(url).hostname or 'other'}": url for number, url in enumerate(wish.metrics)}
    async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as http:
        for name, url in pages.items():
            try:
                answer = await http.get(url)
                answer.raise_for_status()
                files[f"metrics/{name}.txt"] = answer.text[:_MOST_PAGE]
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                wish.missing[f"metrics/{name}.txt"] = f"{url}: {type(error).__name__}"


def _here(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def redacted(config: Config) -> str:
    """The configuration as it is in force, as YAML: what is secret in it is stars, or nothing where it is not set."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def text_of(document: Any) -> str:  # noqa: ANN401 - any JSON
    return document if isinstance(document, str) else json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def secrets_of(config: Config, token: str | None = None) -> set[str]:
    """All secrets that this machine knows, also those in key files and within addresses, as they may be written."""
    found = {secret for secret in _secret_values(config) if secret}
    for url in tuple(found):
        if "://" in url:
            password = urlsplit(url).password
            found |= {unquote(password), quote(unquote(password), safe=""), password} if password else set()
    with suppress(ConfigError):  # the doctor's business
        found |= {key.secret for key in read_keys(config.auth).values() if key.secret}
    if token:
        found |= {token, token.partition(".")[2]}
    found |= {line for secret in tuple(found) if "\n" in secret for line in secret.split("\n") if len(line) > 40}  # PEM
    found -= _defaults()
    return {secret for secret in found if len(secret) >= 4}


def _defaults() -> set[str]:
    """What everybody knows is no secret, such as Redis on this machine without a password."""
    return {"redis://127.0.0.1:6379/0"}


def _secret_values(part: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(part, SecretStr):
        yield part.get_secret_value()
    elif isinstance(part, BaseModel):
        for name in type(part).model_fields:
            yield from _secret_values(getattr(part, name))
    elif isinstance(part, dict):
        for value in part.values():
            yield from _secret_values(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _secret_values(value)
