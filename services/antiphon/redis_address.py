"""Where the cluster's memory is, as a URL says it: one Redis, one that Sentinels name, or a Redis Cluster.

How it is spoken to is cluster/connecting.py's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.connection import parse_url

from antiphon.addresses import host_port

EXPECTED = (
    "must be redis://host:port/0, rediss://host:port/0, unix:///path, redis+sentinel://host:26379,host2:26379/service "
    "or redis+cluster://host:port,host2:port (rediss+sentinel:// and rediss+cluster:// with TLS)"
)
_SCHEMES: dict[str, tuple[Literal["one", "sentinel", "cluster"], bool, int]] = {
    "redis": ("one", False, 6379),
    "rediss": ("one", True, 6379),
    "unix": ("one", False, 0),
    "redis+sentinel": ("sentinel", False, 26379),
    "rediss+sentinel": ("sentinel", True, 26379),
    "redis+cluster": ("cluster", False, 6379),
    "rediss+cluster": ("cluster", True, 6379),
}


@dataclass(frozen=True)
class TlsFiles:
    """Paths of PEM files; empty: the system's authorities, and no certificate is shown."""

    authority: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True)
class RedisAddress:
    """A URL, taken apart."""

    kind: Literal["one", "sentinel", "cluster"]
    url: str = field(repr=False)
    """As it was given; it may hold a password."""
    hosts: tuple[tuple[str, int], ...] = ()
    """Sentinels, or nodes of a Cluster to ask first: one that answers will do."""
    service: str = ""
    """What the Sentinels call it."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    database: int = 0
    tls: bool = False
    files: TlsFiles = TlsFiles()

    def __str__(self) -> str:
        """Hosts and ports, or the path; never a password."""
        if self.kind != "one":
            hosts = ",".join(host_port(host, port) for host, port in self.hosts)
            return f"{hosts}/{self.service}" if self.service else hosts
        parts = parse_url(self.url)  # type: ignore[no-untyped-call]
        return str(parts.get("path") or host_port(parts.get("host", "localhost"), parts.get("port", 6379)))

    def with_files(self, files: TlsFiles) -> RedisAddress:
        return replace(self, files=files)


def parse_redis_url(url: str) -> RedisAddress:
    """Raises ValueError, whose words never hold the URL."""
    scheme = url.partition("://")[0].lower()
    if scheme not in _SCHEMES:
        raise ValueError(EXPECTED)
    kind, tls, port = _SCHEMES[scheme]
    try:
        if kind == "one":
            parse_url(url)  # type: ignore[no-untyped-call]
            return RedisAddress(kind, url, tls=tls)
        return _of_many(kind, url, tls=tls, port=port)
    except ValueError:  # its words may hold the password
        raise ValueError(EXPECTED) from None


def _of_many(kind: Literal["sentinel", "cluster"], url: str, *, tls: bool, port: int) -> RedisAddress:
    rest = url.partition("://")[2]
    authority, slash, tail = rest.partition("/")
    if not slash:
        authority, _, query = rest.partition("?")
        tail = f"?{query}"
    user, at, listed = authority.rpartition("@")
    name, _, password = user.partition(":")
    parts = urlsplit("//x/" + tail)
    service, _, database = unquote(parts.path.strip("/")).partition("/")
    options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)) if parts.query else {}
    known = {"sentinel_username", "sentinel_password"} if kind == "sentinel" else set()
    if options.keys() - known or not listed or (kind == "sentinel") != bool(service) or not (database or "0").isdigit():
        raise ValueError
    return RedisAddress(
        kind,
        url,
        hosts=tuple(_host(one, port) for one in listed.split(",")),
        service=service,
        username=unquote(name) or None if at else None,
        password=unquote(password) or None if at else None,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        database=int(database or 0),
        tls=tls,
    )


def _host(text: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path or parts.query or parts.fragment or "@" in text:
        raise ValueError
    return parts.hostname, parts.port or default
