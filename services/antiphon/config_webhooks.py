"""Settings of webhooks: where events are sent to, of which project, and what they are signed with."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from antiphon.config_auth import DEFAULT_PROJECT
from antiphon.config_base import Name, Section, is_loopback

_PATTERN = re.compile(r"^(session|room|edge|worker)\.([a-z_]+|\*)$")
_LEAST_KEY, _MOST_KEY = 24, 64


class WebhookEndpoint(Section):
    """A receiver. Of two that are to hear the same, each has its own name and hears everything."""

    url: SecretStr
    """Where events are sent by POST: https://, or http:// to this machine. Redirects are not followed."""
    secrets: tuple[SecretStr, ...] = Field(min_length=1, max_length=3)
    """`whsec_` and base64 of 24 to 64 random bytes. Each request is signed with all of them: two make a rotation."""
    project: Name = DEFAULT_PROJECT
    """Whose sessions and rooms it hears of."""
    events: tuple[str, ...] = ()
    """Types, such as session.ended or room.*; empty for all of the project's."""
    members: bool = False
    """Whether it hears of edges and workers too, which all projects share."""

    @field_validator("url")
    @classmethod
    def _safe(cls, value: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(value.get_secret_value())
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = parts = None
        if parts is None or not host or parts.username is not None or parts.fragment:
            raise ValueError("must be https://host/path, without user and fragment")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
            raise ValueError("must be https://: http:// is for receivers on this machine's loopback address")
        return value

    @field_validator("secrets")
    @classmethod
    def _keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            kind, _, text = secret.get_secret_value().partition("_")
            try:
                length = len(base64.b64decode(text, validate=True))
            except binascii.Error:
                length = 0
            if kind != "whsec" or not _LEAST_KEY <= length <= _MOST_KEY:
                raise ValueError(
                    "has one that is not whsec_ and base64 of 24 to 64 bytes, "
                    'as `echo "whsec_$(openssl rand -base64 32)"` prints them'
                )
        return value

    @field_validator("events")
    @classmethod
    def _types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            if not _PATTERN.match(pattern):
                raise ValueError(f"{pattern!r} is no type of events: write session.ended, or room.* for all of a kind")
        return value

    def wants(self, event: str) -> bool:
        """Whether it hears of events of this type."""
        return not self.events or event in self.events or f"{event.partition('.')[0]}.*" in self.events


class WebhooksConfig(Section):
    endpoints: dict[Name, WebhookEndpoint] = {}  # noqa: RUF012 - pydantic copies it
    """Receivers by name. What it has heard is kept under its name: with another one it begins anew, with what comes."""
    timeout_s: float = Field(default=10.0, gt=0, le=30)
    """Longest that a receiver may take to answer, in seconds."""
    give_up_s: float = Field(default=3600.0, ge=1, le=24 * 3600)
    """How old an event may be for another attempt, in seconds. What is older is dropped, counted and logged."""
