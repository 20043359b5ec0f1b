"""Reads keys from the configuration, from YAML files, and from folders with a file for each key, as Kubernetes mounts
a secret; and reads them anew when they change, so that keys come and go without a restart.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from antiphon import telemetry
from antiphon.access.keys import Key, KeyRing
from antiphon.config_auth import ApiKey, check_key_id, written_short
from antiphon.errors import ConfigError
from antiphon.reloading import look_each_second

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon.config_auth import AuthConfig

_log = telemetry.get_logger("access")
_MOST_BYTES, _MOST_KEYS = 1 << 20, 10_000
_NO_YAML = (yaml.YAMLError, ValueError, RecursionError)
"""The library also lets through what a date that is none, and a list a thousand deep, raise."""
_RELOADS = telemetry.counter("key_reloads", "Readings of changed key files, by outcome.", ["outcome"])
_VALID = telemetry.gauge("api_keys", "API keys that are valid now.", [])


def read_keys(config: AuthConfig) -> dict[str, Key]:
    """All keys by id. Raises ConfigError, which names the file and the key and shows nothing secret."""
    found = {key: (settings, "auth.api_keys") for key, settings in config.api_keys.items()}
    for path in config.key_files:
        for key, settings in _read(path).items():
            if key in found:
                raise ConfigError(f"{path}: the key {key} stands in {found[key][1]} too; give each its own id")
            found[key] = (settings, str(path))
    if len(found) > _MOST_KEYS:
        raise ConfigError(f"auth: {len(found)} keys are more than {_MOST_KEYS}")
    keys = {}
    for key, (settings, where) in found.items():
        try:
            keys[key] = Key.of(key, settings)
        except ValueError as error:
            raise ConfigError(f"{where}: {key}: {error}") from None
    return keys


class KeyWatch:
    """Keeps a key ring as the files say. What cannot be read changes nothing: the keys of before stay valid."""

    def __init__(self, config: AuthConfig) -> None:
        """Raises ConfigError where the files cannot be used, or there is no key at all."""
        self._config = config
        keys = read_keys(config)
        if config.mode == "keys" and not keys:
            raise ConfigError("auth.key_files hold no key: add one, as <id>: <secret>")
        self.ring = KeyRing(keys)
        self._last = keys
        _VALID.set(len(keys))

    async def run(self) -> None:
        """Looks each second, until cancelled."""
        if self._config.key_files:
            await look_each_second(self.look, _tell_failure)

    async def look(self) -> None:
        """Raises ConfigError where what is there now cannot be used."""
        keys = await asyncio.to_thread(read_keys, self._config)
        if _facts(keys) == _facts(self._last):
            return
        came, gone = sorted(keys.keys() - self._last.keys()), sorted(self._last.keys() - keys.keys())
        self.ring.replace(keys)
        self._last = keys
        _RELOADS.labels("done").inc()
        _VALID.set(len(keys))
        _log.info("keys read anew", keys=len(keys), came=came, gone=gone)


def _tell_failure(error: str) -> None:
    _RELOADS.labels("failed").inc()
    _log.error("keys not read anew; those of before stay valid", error=error)


def _facts(keys: dict[str, Key]) -> dict[str, Any]:
    """To compare keys by, whose Ed25519 halves are new objects at each reading."""
    return {
        one.id: (
            one.project,
            one.operator,
            one.secret,
            one.public and one.public.public_bytes_raw(),
            one.private is None,
        )
        for one in keys.values()
    }


def _read(path: Path) -> dict[str, ApiKey]:
    try:
        if path.is_dir():
            # Kubernetes keeps the files behind ..data and names of that kind.
            files = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
            return {one.name: _key(one, one.name, _of_folder(_text(one))) for one in files}
        text = _text(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    data = _yaml(path, text)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must hold `<id>: <secret>`, or `<id>:` with project and secret below it")
    return {str(key): _key(path, str(key), value) for key, value in data.items()}


def _text(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise ConfigError(f"{path}: is larger than {_MOST_BYTES} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8") from None


def _of_folder(text: str) -> object:
    """A file of a folder holds the secret alone, or a map as in a YAML file. A secret has no white space in it."""
    text = text.strip()
    if text and not any(character.isspace() for character in text):
        return text
    try:
        return yaml.safe_load(text)
    except _NO_YAML:
        return None


def _yaml(path: Path, text: str) -> object:
    try:
        return yaml.safe_load(text)
    except _NO_YAML as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(f"{path}{f', line {mark.line + 1}' if mark else ''}: is not YAML") from None


def _key(path: Path, key: str, value: object) -> ApiKey:
    try:
        check_key_id(key, "has the id")
        return ApiKey.model_validate(written_short(value))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        message = f"{key}: {field + ': ' if field else ''}{first['msg'].removeprefix('Value error, ')}"
    except ValueError as error:
        message = str(error)
    raise ConfigError(f"{path}: {message}")
