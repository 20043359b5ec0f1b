"""The one typed configuration tree: a YAML file and environment variables by the same names.

`ANTIPHON_EDGE__PORT=4000` sets `edge.port`; lists and maps are written as JSON. Arguments beat the environment, which
beats the file. Unknown keys are refused. Each field is documented where it is defined.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from antiphon.addresses import Advertised, parse_advertised
from antiphon.config_auth import LEAST_SECRET, AuthConfig, MutualTls
from antiphon.config_base import Name, Port, is_loopback
from antiphon.config_base import Section as _Section
from antiphon.config_placement import PlacementConfig
from antiphon.config_recording import RecordingConfig
from antiphon.config_webhooks import WebhooksConfig
from antiphon.errors import ConfigError
from antiphon.redis_address import RedisAddress, TlsFiles, parse_redis_url

_ANY = frozenset({"0.0.0.0", "::"})
_MOST_HOSTS = 7
_ORIGIN = re.compile(r"^https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$")
"""As browsers write it (RFC 6454, section 6.2): in lower case and without a path."""


class Region(_Section):
    name: Name = "local"
    """The region's name; session ids carry it."""
    latitude: float = Field(default=0.0, ge=-90, le=90)
    """Degrees north."""
    longitude: float = Field(default=0.0, ge=-180, le=180)
    """Degrees east."""


class RedisTls(_Section):
    authority: Path | None = None
    """The authority that Redis's certificate must be of (PEM); the system's are believed where none is named."""
    certificate: Path | None = None
    """Certificate to show where Redis asks for one (PEM), with its key or not at all."""
    key: Path | None = None
    """Its private key (PEM), without a password."""

    @model_validator(mode="after")
    def _both_or_none(self) -> RedisTls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("redis.tls needs certificate and key, or neither")
        return self


class RedisConfig(_Section):
    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """Redis or Valkey, 7 or later: redis://, rediss:// (TLS), unix://, or more than one host with a comma between:
    redis+sentinel://host:26379,host2:26379/service or redis+cluster://host:6379,host2:6379, with rediss+ for TLS."""
    regions: dict[Name, SecretStr] = Field(default_factory=dict)
    """Regions that have a Redis of their own, and its URL, of any of these kinds: edges of the region register there,
    and their sessions are there. `url` is for all other regions, and what belongs to none. The same on all nodes."""
    tls: RedisTls = RedisTls()
    """Files for rediss://."""

    @property
    def address(self) -> RedisAddress:
        return self._parsed(self.url)

    @property
    def addresses(self) -> dict[str, RedisAddress]:
        """By region, of those that have their own."""
        return {region: self._parsed(url) for region, url in self.regions.items()}

    def _parsed(self, url: SecretStr) -> RedisAddress:
        paths = {name: str(path) for name, path in self.tls if path is not None}
        return parse_redis_url(url.get_secret_value()).with_files(TlsFiles(**paths))

    @field_validator("regions")
    @classmethod
    def _can_all_be_parsed(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for region, url in value.items():
            if region == "all":
                raise ValueError("names a region `all`, which is what redis.url is called: give it another name")
            try:
                parse_redis_url(url.get_secret_value())
            except ValueError as error:
                raise ValueError(f"{region}: {error}") from None
        return value

    @field_validator("url")
    @classmethod
    def _can_be_parsed(cls, value: SecretStr) -> SecretStr:
        parse_redis_url(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _tls_is_used(self) -> RedisConfig:
        urls = (self.url, *self.regions.values())
        if self.tls != RedisTls() and not all(url.get_secret_value().startswith("rediss") for url in urls):
            raise ValueError("redis.tls is for rediss:// URLs: with this one nothing would be encrypted")
        return self


class GeoIPConfig(_Section):
    city_database: Path | None = None
    """A MaxMind City file (.mmdb), read anew when it changes. Without it callers are placed by what is measured."""
    asn_database: Path | None = None
    """A MaxMind ASN file (.mmdb), likewise: round trips are then learned by provider too, not by prefix alone."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose forwarding and location headers are believed, as CIDR."""
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    """The one header that the proxies append the caller's address to. The other one may come from the caller."""
    location_headers: Literal["none", "cloudflare", "cloudfront", "vercel", "appengine"] = "none"
    """Whose headers the proxies set to the caller's latitude and longitude; they are believed before the City file."""

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network)  # its ValueError says what is wrong
        return value


class SignalingConfig(_Section):
    id: Name = "signaling"
    """This node's id, in logs."""
    host: str = "127.0.0.1"
    """Address to listen on for HTTP."""
    port: Port = 8080
    """TCP port for HTTP."""
    max_body_bytes: int = Field(default=64 * 1024, ge=1024)
    """Larger request bodies get 413."""
    max_header_bytes: int = Field(default=32 * 1024, ge=1024, le=1 << 20)
    """A request line and headers that are larger get 431."""
    policy: str | tuple[str, ...] = "nearest"
    """Placement policies by name, one or several, whose costs are added up: asked, caller_rtt, worker_rtt, load,
    least_loaded; `nearest` is the first four. docs/placement.md describes them."""
    geoip: GeoIPConfig = GeoIPConfig()
    without_redis: Literal["refuse", "place"] = "refuse"
    """New calls while Redis does not answer: 503, or a place at an edge of this node's own region (`region.name`) that
    was there last; rooms and moves get 503 either way. docs/failure.md tells what is not known then."""
    cors_origins: tuple[str, ...] = ()
    """Origins of pages on other hosts that may call the API, such as https://app.example.com. None by default."""
    console: bool = True
    """Serve the web console at /."""

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.match(origin):
                raise ValueError(f"{origin!r} is no origin: write scheme and host, such as https://app.example.com")
        return value


class EdgeConfig(_Section):
    id: Name = "edge"
    """This edge's id; unique in the cluster."""
    host: str | tuple[str, ...] = "127.0.0.1"
    """Address to receive media on, or several, such as one of IPv4 and one of IPv6. `::` is all of IPv6 only."""
    port: Port = 4000
    """The one UDP port for media; 0 picks a free one."""
    tcp: bool = True
    """Whether callers that UDP is blocked for may come over TCP (ICE-TCP)."""
    tcp_port: Port | None = None
    """The one TCP port for them; the number of `port` when not set, 0 picks a free one."""
    advertise: tuple[str, ...] = ()
    """Addresses that callers reach this edge by, best first: `192.0.2.1` for UDP and TCP on the ports above, or
    `192.0.2.1:5000`, `tcp:192.0.2.1:443` where a NAT or a balancer maps them to others. Empty means `host`.
    Configured, never discovered."""
    steering_host: str = "127.0.0.1"
    """Address to take other edges' packets on (UDP), where callers cannot reach it."""
    steering_port: Port | None = None
    """Its UDP port; 0 picks a free one. Set it where several edges stand behind one address: without it this edge
    stands alone."""
    steering_advertise: str = ""
    """address:port that other edges reach it by; empty means host and port of steering."""
    control_host: str = "127.0.0.1"
    """Address to serve control on (gRPC)."""
    control_port: Port = 4001
    """TCP port of control; 0 picks a free one."""
    control_advertise: str = ""
    """host:port that signaling reaches control by; empty means host and port of control."""
    http_host: str = "127.0.0.1"
    """Address to serve /livez, /readyz and /metrics on."""
    http_port: Port = 4002
    """TCP port of the same; 0 picks a free one."""
    probe_host: str = "127.0.0.1"
    """Address to answer clients' probes on, which measure the round trip to this edge over HTTP and STUN."""
    probe_port: Port | None = None
    """TCP and UDP port of the same; 0 picks a free one. Not set, this edge answers none, and is placed by what else is
    known of the way to it."""
    probe_url: str = Field(default="", pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*)?)?$")
    """Where clients reach the probe over HTTP: set it to an https:// address where pages are on https. Empty means
    http:// with host and port of the probe."""
    probe_stun: str = ""
    """address:port that clients reach the probe by over UDP; empty means the media port where `stun_probe` lets it
    answer, else host and port of the probe."""
    stun_probe: Literal["off", "padded", "any"] = "padded"
    """Which probes the media port answers, STUN Binding requests that name no session: none; all, with no more than was
    sent (requests padded to 32 bytes, 44 over IPv6, are told their address); or all with the address, as browsers
    need it, which sends up to twice of what came, 20 times a second to one address."""
    shards: int = Field(default=1, ge=1, le=64)
    """Threads that own sessions, each with a socket of its own."""
    capacity: int = Field(default=500, ge=1)
    """Most sessions at a time."""
    drain_s: float = Field(default=20.0, ge=0, le=86_400)
    """How long a signal to stop (SIGTERM) leaves sessions to move or to end by themselves, in seconds. A second signal
    ends the process at once."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """All addresses to receive media on."""
        return (self.host,) if isinstance(self.host, str) else self.host

    @property
    def advertised(self) -> tuple[Advertised, ...]:
        """What `advertise` says."""
        return tuple(address for text in self.advertise for address in parse_advertised(text))

    @field_validator("host")
    @classmethod
    def _some_hosts(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        hosts = (value,) if isinstance(value, str) else value
        if not 1 <= len(hosts) <= _MOST_HOSTS or len(set(hosts)) != len(hosts):
            raise ValueError(f"must be one address, or up to {_MOST_HOSTS} that differ")
        return value

    @field_validator("advertise")
    @classmethod
    def _can_be_told(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        addresses = [address for text in value for address in parse_advertised(text)]
        for address in addresses:
            if addresses.count(address) > 1:
                raise ValueError(f"names {address.address} over {address.transport} twice")
        if addresses and all(address.transport == "tcp" for address in addresses):
            raise ValueError("names addresses over TCP only: callers need at least one over UDP")
        return value

    @field_validator("steering_advertise", "probe_stun")
    @classmethod
    def _an_address_and_a_port(cls, value: str) -> str:
        if value and not (value.count(":") and parse_advertised(value)[0].port):
            raise ValueError("must be address:port")
        return value

    @model_validator(mode="after")
    def _callers_need_an_address(self) -> EdgeConfig:
        for host in self.hosts:
            if host in _ANY and not self.advertise:
                raise ValueError(
                    f"edge.host is {host}, which is no address that callers can be told: "
                    "set edge.advertise to the addresses that they reach this edge by"
                )
        if self.steering_port is not None and self.steering_host in _ANY and not self.steering_advertise:
            raise ValueError(
                f"edge.steering_host is {self.steering_host}, which other edges cannot be told: "
                "set edge.steering_advertise to the address:port that they reach this edge by"
            )
        if self.probe_port is not None and self.probe_host in _ANY and not (self.probe_url and self.probe_stun):
            raise ValueError(
                f"edge.probe_host is {self.probe_host}, which clients cannot be told: set edge.probe_url and "
                "edge.probe_stun to what they reach it by, or edge.probe_port to null"
            )
        return self


class WorkerConfig(_Section):
    id: Name = "worker"
    """This worker's id; unique in the cluster. Processes add -0, -1, ... to it."""
    host: str = "127.0.0.1"
    """Address to serve the media link on (gRPC)."""
    port: Port = 4100
    """TCP port of the link; 0 picks a free one."""
    advertise: str = ""
    """host:port that edges reach the link by; empty means host and port."""
    http_host: str = "127.0.0.1"
    """Address to serve /livez, /readyz and /metrics on."""
    http_port: Port = 4102
    """TCP port of the same; 0 picks a free one."""
    capacity: int = Field(default=200, ge=1)
    """Most sessions at a time, for each process."""
    drain_s: float = Field(default=20.0, ge=0, le=86_400)
    """How long a signal to stop (SIGTERM) leaves sessions to end by themselves, in seconds. A second signal ends the
    process at once."""
    grace_s: float = Field(default=15.0, ge=0, le=300)
    """How long a session whose edge is lost waits for its caller to come back by another edge, in seconds."""
    projects: tuple[Name, ...] = ()
    """Projects that its agents are for; empty for all of them."""
    stripes: int = Field(default=1, ge=1, le=16)
    """Media streams for each link."""
    gap_wait_s: float = Field(default=0.3, ge=0, le=2)
    """Longest that the end of a turn waits for frames that are missing, in seconds; it waits for about a round trip."""
    late_ms: float = Field(default=20.0, ge=1, le=60_000)
    """A worker whose voice detection is so much late for three seconds on end says that it is full, in milliseconds."""


class AssistantConfig(_Section):
    model_url: str = ""
    """Where an OpenAI-compatible language model answers, such as http://127.0.0.1:11434/v1. Empty: fixed rules."""
    model: str = "gpt-4o-mini"
    """The model's name there."""
    model_key: SecretStr = SecretStr("")
    """Its API key, where it needs one."""
    model_timeout_s: float = Field(default=10.0, gt=0, le=120)
    """Longest that the model may be silent, in seconds."""
    voice_engine: Literal["auto", "espeak", "piper"] = "auto"
    """What speaks: piper where it is installed, else espeak."""
    voice: str = ""
    """A voice of espeak's, such as en-us, or the path of a piper voice (.onnx). Empty: the engine's own."""
    instructions: str = (
        "You are a helpful assistant in a telephone call. Answer in one or two short spoken sentences, without lists, "
        "symbols or formatting."
    )
    """The system message of the language model."""
    greeting: str = "Hello! How can I help you?"
    """Said when a caller comes; nothing where it is empty."""
    filler: str = ""
    """Said when a reply is late, such as "One moment, please."; nothing where it is empty."""
    filler_after_s: float = Field(default=1.5, gt=0, le=60)
    """How late, in seconds."""


class LogConfig(_Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important lines to show: debug, info, warning or error."""
    format: Literal["text", "json"] = "text"
    """text for people, json for machines."""


class KubernetesConfig(_Section):
    pod: str = Field(default="", pattern=r"^[a-z0-9.-]{0,253}$")
    """Name of the pod that this edge or worker runs in: its annotation pod-deletion-cost then follows its live calls.
    Empty: Kubernetes is not asked. One process a pod."""
    deletion_cost_every_s: float = Field(default=30.0, ge=0.1, le=3600)
    """Seconds between two changes of it, at least: each is a write for Kubernetes."""
    api: str = Field(default="", pattern=r"^(https?://[^\s/?#]+)?$")
    """Where Kubernetes answers; empty: where the pod's environment says."""
    account: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    """Folder with the service account's token, namespace and ca.crt. It has to be allowed to patch pods."""


class Config(BaseSettings):
    """The whole tree. A service reads its own section and the shared ones."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="ANTIPHON_", env_nested_delimiter="__", use_attribute_docstrings=True
    )

    region: Region = Region()
    redis: RedisConfig = RedisConfig()
    auth: AuthConfig = AuthConfig()
    cluster_secret: SecretStr = Field(default_factory=lambda: SecretStr(secrets.token_hex(16)))
    """Seals ICE user name fragments: 32 hexadecimal digits, the same for all edges. Random when not set."""
    registration_secrets: tuple[SecretStr, ...] = ()
    """Edges and workers sign what they register with the first; records that none of these signed count for nothing.
    The same on all nodes, of 16 characters or more each. Empty: whoever can write to Redis can register."""
    control_tls: MutualTls = MutualTls()
    """Mutual TLS for the calls of signaling to edges' control service. Plain TCP where not set."""
    link_tls: MutualTls = MutualTls()
    """Mutual TLS for the media links between edges and workers. Plain TCP where not set."""
    signaling: SignalingConfig = SignalingConfig()
    placement: PlacementConfig = PlacementConfig()
    edge: EdgeConfig = EdgeConfig()
    worker: WorkerConfig = WorkerConfig()
    assistant: AssistantConfig = AssistantConfig()
    recording: RecordingConfig = RecordingConfig()
    kubernetes: KubernetesConfig = KubernetesConfig()
    webhooks: WebhooksConfig = WebhooksConfig()
    log: LogConfig = LogConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments and the environment, and no hidden files."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    @field_validator("cluster_secret")
    @classmethod
    def _hexadecimal(cls, value: SecretStr) -> SecretStr:
        try:
            length = len(bytes.fromhex(value.get_secret_value()))
        except ValueError:
            length = 0
        if length != 16:
            raise ValueError("must be 32 hexadecimal digits, as `openssl rand -hex 16` prints them")
        return value

    @field_validator("registration_secrets")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < LEAST_SECRET for secret in value):
            raise ValueError(f"has a secret that is too short: use {LEAST_SECRET} characters or more")
        return value

    @property
    def registration_keys(self) -> tuple[str, ...]:
        """The registration secrets, to sign and check with."""
        return tuple(secret.get_secret_value() for secret in self.registration_secrets)

    @model_validator(mode="after")
    def _refuse_open_doors(self) -> Config:
        for field, host in (
            ("signaling.host", self.signaling.host),
            *(("edge.host", host) for host in self.edge.hosts),
            ("edge.steering_host", self.edge.steering_host),
            ("edge.control_host", self.edge.control_host),
            ("edge.http_host", self.edge.http_host),
            ("edge.probe_host", self.edge.probe_host),
            ("worker.host", self.worker.host),
            ("worker.http_host", self.worker.http_host),
        ):
            if self.auth.mode == "none" and not is_loopback(host):
                raise ValueError(
                    f"{field} is {host}, which others can reach, but auth.mode is none: "
                    "set auth.mode to keys and auth.api_keys, or listen on 127.0.0.1"
                )
        if not is_private(self.edge.control_host) and not self.control_tls.configured:
            raise ValueError(
                f"edge.control_host is {self.edge.control_host}, but keys guard the HTTP API only: set control_tls, "
                "or listen on loopback or on one private address that callers cannot reach"
            )
        if not is_private(self.worker.host) and not self.link_tls.configured:
            raise ValueError(
                f"worker.host is {self.worker.host}, but keys guard the HTTP API only: set link_tls, "
                "or listen on loopback or on one private address that callers cannot reach"
            )
        return self


def is_private(host: str) -> bool:
    """Whether this is one address of a private network, or loopback."""
    if is_loopback(host):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_private and not address.is_unspecified


def load_config(path: Path | None = None, **overrides: Any) -> Config:  # noqa: ANN401
    """Reads the tree. Without a path, `ANTIPHON_CONFIG` may name the file.

    `overrides` are sections: `load_config(edge={"port": 0})`. Raises ConfigError with one line that names the key.
    """
    if path is None and (named := os.environ.get("ANTIPHON_CONFIG")):
        path = Path(named)
    data = _read(path) if path is not None else {}
    _refuse_unknown_variables()

    class FromFile(Config):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            *args: PydanticBaseSettingsSource,
            **kwargs: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            sources = super().settings_customise_sources(settings_cls, *args, **kwargs)
            return *sources, InitSettingsSource(settings_cls, init_kwargs=data)

    try:
        return FromFile(**overrides)
    except ValidationError as error:
        raise ConfigError(_one_line(error, path)) from None
    except SettingsError as error:
        raise ConfigError(f"environment: {error}; lists and maps are written as JSON") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: is not YAML: {getattr(error, 'problem', None) or error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must hold keys such as `edge:`, but holds a {type(data).__name__}")
    return {str(key): value for key, value in data.items()}


def _refuse_unknown_variables() -> None:
    """pydantic-settings passes over variables that begin with no known section; a misspelt one must not go unnoticed.

    Only names with a double underscore are looked at: Kubernetes sets others, such as ANTIPHON_SIGNALING_PORT.
    """
    for name in os.environ:
        section, separator, _ = name.upper().removeprefix("ANTIPHON_").partition("__")
        if name.upper().startswith("ANTIPHON_") and separator and section.lower() not in Config.model_fields:
            raise ConfigError(
                f"{name}: there is no section {section.lower()!r}; known: {', '.join(Config.model_fields)}"
            )


def _one_line(error: ValidationError, path: Path | None) -> str:
    """The first mistake, by its key. Values are shown only where they cannot be secret."""
    first = error.errors(include_url=False, include_context=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if first["type"] == "extra_forbidden":
        message = "there is no such key"
    elif isinstance(first["input"], int | float | str) and key.split(".")[0] not in _SECRET:
        message += f", not {first['input']!r}"
    source = f"{path} or the environment" if path else "configuration"
    return " ".join(f"{source}: {key + ': ' if key else ''}{message}".split())


_SECRET = frozenset({"redis", "auth", "cluster_secret", "registration_secrets", "recording", "webhooks"})
