"""`antiphon token`: signs a session token with a key of the configuration; no signaling node is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from antiphon.access import Grants, mint, read_keys
from antiphon.errors import BadRequestError, ConfigError

if TYPE_CHECKING:
    from antiphon.access import Key
    from antiphon.config import Config


@dataclass(frozen=True)
class Wish:
    """The command's options."""

    key: str | None
    subject: str | None
    ttl_s: int
    agent: str | None
    room: str | None
    region: str | None
    metadata: str
    subscribe: bool
    publish: bool


def token_for(wish: Wish, config: Config) -> str:
    """Raises ConfigError."""
    key = _key(wish.key, read_keys(config.auth))
    try:
        return mint(key, _grants(wish), config.auth.tokens, ttl_s=wish.ttl_s, subject=wish.subject).token
    except BadRequestError as error:
        raise ConfigError(str(error)) from None


def _key(asked: str | None, keys: dict[str, Key]) -> Key:
    if asked is None and len(keys) == 1:
        return next(iter(keys.values()))
    if asked in keys:
        return keys[asked]
    known = ", ".join(sorted(keys)) or "none: add one to auth.api_keys or auth.key_files"
    if asked is None:
        raise ConfigError(f"say which key signs, with --key; known: {known}")
    raise ConfigError(f"there is no key {asked}; known: {known}")


def _grants(wish: Wish) -> Grants:
    try:
        metadata = json.loads(wish.metadata)
    except ValueError:
        raise ConfigError('--metadata is no JSON: write an object, such as \'{"customer": "42"}\'') from None
    try:
        return Grants(
            agent=wish.agent,
            room=wish.room,
            region=wish.region,
            metadata=metadata,
            subscribe=wish.subscribe,
            publish=wish.publish,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise ConfigError(f"--{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None
