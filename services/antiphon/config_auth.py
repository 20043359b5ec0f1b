"""Settings of the door: API keys and the projects that they belong to, session tokens, and limits of who asks."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from antiphon.config_base import Name, Section

DEFAULT_PROJECT = "default"
LEAST_SECRET, LEAST_SIGNING_SECRET = 16, 32
_KEY_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")


class ApiKey(Section):
    """One key. Two valid ones of a project at once make a rotation: add the new one, move callers, drop the old one."""

    project: Name = DEFAULT_PROJECT
    """What it belongs to: it sees this project's sessions, rooms and agents, and no others."""
    secret: SecretStr = SecretStr("")
    """Callers send `Authorization: Bearer <id>.<secret>`. One of 32 bytes or more signs session tokens too (HS256)."""
    public_key: str = ""
    """An Ed25519 public key (PEM): then the key's session tokens are EdDSA, and no others are taken."""
    private_key: SecretStr = SecretStr("")
    """The Ed25519 private key (PEM) to sign with; a node that only checks tokens does without."""
    operator: bool = False
    """Whether it may also run the cluster, which all projects share."""

    @model_validator(mode="after")
    def _can_be_used(self) -> ApiKey:
        secret = self.secret.get_secret_value()
        if secret and len(secret) < LEAST_SECRET:
            raise ValueError(f"its secret is too short: use {LEAST_SECRET} characters or more")
        if not (secret or self.public_key or self.private_key.get_secret_value()):
            raise ValueError("it has neither secret, public_key nor private_key")
        return self


def written_short(value: Any) -> Any:  # noqa: ANN401
    """A key written as its secret alone belongs to the default project."""
    return {"secret": value} if isinstance(value, str | SecretStr) else value


class TokenConfig(Section):
    audience: str = Field(default="antiphon", min_length=1, max_length=128)
    """The `aud` that session tokens name: clusters that share a key and differ in this do not take each other's."""
    max_ttl_s: int = Field(default=24 * 3600, ge=1, le=7 * 24 * 3600)
    """Longest life of a session token, in seconds, whoever signed it."""


class KeyRate(Section):
    per_second: float = Field(default=100.0, gt=0, le=100_000)
    """Requests a second that may go on for ever."""
    burst: int = Field(default=500, ge=1, le=1_000_000)
    """Requests that may come at once after a pause."""


class AddressRate(KeyRate):
    per_second: float = Field(default=30.0, gt=0, le=100_000)
    """Requests a second that may go on for ever."""
    burst: int = Field(default=150, ge=1, le=1_000_000)
    """Requests that may come at once after a pause."""


class SubjectRate(KeyRate):
    per_second: float = Field(default=10.0, gt=0, le=100_000)
    """Requests a second that may go on for ever."""
    burst: int = Field(default=60, ge=1, le=1_000_000)
    """Requests that may come at once after a pause."""


class LimitsConfig(Section):
    """Who asks for too much gets 429 with Retry-After. They hold with keys; without, only this machine asks."""

    per_key: KeyRate = KeyRate()
    """Requests with one API key; and, counted by themselves, those with all session tokens that it signed."""
    per_subject: SubjectRate = SubjectRate()
    """Requests with session tokens of one subject."""
    per_address: AddressRate = AddressRate()
    """Requests from one IPv4 address or IPv6 /64, with a good key or without."""
    sessions_per_project: int | None = Field(default=None, ge=0)
    """Most sessions of a project at a time; no limit when not set."""
    projects: dict[Name, Annotated[int, Field(ge=0)]] = {}  # noqa: RUF012 - pydantic copies it
    """The same for projects by name."""

    def sessions_of(self, project: str) -> int | None:
        return self.projects.get(project, self.sessions_per_project)


class AuthConfig(Section):
    mode: Literal["none", "keys"] = "none"
    """`none` is allowed on loopback only."""
    api_keys: dict[str, ApiKey] = {}  # noqa: RUF012
    """API keys by id, each a secret or a map with project, secret, public_key, private_key and operator."""
    key_files: tuple[Path, ...] = ()
    """More keys: YAML files with a map as above, or folders with a file for each key, named after its id, such as a
    mounted Kubernetes secret. Read anew when they change."""
    tokens: TokenConfig = TokenConfig()
    limits: LimitsConfig = LimitsConfig()

    @field_validator("api_keys", mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, dict):
            return value
        for key in value:
            check_key_id(key, "auth.api_keys has the id")
        return {key: written_short(one) for key, one in value.items()}

    @model_validator(mode="after")
    def _need_keys(self) -> AuthConfig:
        if self.mode == "keys" and not self.api_keys and not self.key_files:
            raise ValueError("auth.mode is keys, but auth.api_keys is empty: add `<id>: <secret>`, or auth.key_files")
        return self


class MutualTls(Section):
    certificate: Path | None = None
    """Certificate chain to show (PEM); set all three or none. Read anew when it changes."""
    key: Path | None = None
    """Its private key (PEM), without a password."""
    authority: Path | None = None
    """The authority that the other side's certificate must be of (PEM). Make one for this alone."""
    server_name: str = ""
    """Name in the certificates of the side that is dialled: edges' for control, workers' for links. Empty where each
    carries the address that it advertises."""

    @model_validator(mode="after")
    def _all_or_none(self) -> MutualTls:
        given = [path is not None for path in (self.certificate, self.key, self.authority)]
        if any(given) and not all(given):
            raise ValueError("needs certificate, key and authority, or none of them")
        return self

    @property
    def configured(self) -> bool:
        return self.certificate is not None


def check_key_id(key: object, what: str) -> None:
    """Raises ValueError."""
    if not isinstance(key, str) or not _KEY_ID.match(key):
        raise ValueError(f"{what} {key!r}: an id is 1 to 64 letters, digits, - and _, and holds no dot")
