"""Mutual TLS between Antiphon's own services over gRPC: reads certificates, and reads them anew when they change."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
from cryptography import x509

from antiphon import telemetry
from antiphon.errors import ConfigError
from antiphon.reloading import look_each_second

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from antiphon.config_auth import MutualTls

_log = telemetry.get_logger("certificates")
_RELOADS = telemetry.counter("certificate_reloads", "Readings of changed certificates, by outcome.", ["outcome"])
_EXPIRY = telemetry.gauge(
    "certificate_expiry_timestamp_seconds",
    "When the certificate that this service shows on a kind of connection expires, since 1970.",
    ["connection"],
)


@dataclass(frozen=True)
class Pem:
    """What one side of a connection shows, and whom it believes. The key stays out of its `repr`."""

    certificate: bytes
    authority: bytes
    expires: datetime
    key: bytes = b""

    def __repr__(self) -> str:
        return f"Pem(expires={self.expires.isoformat()})"


def _tell_failure(error: str) -> None:
    _RELOADS.labels("failed").inc()
    _log.error("certificates not read anew; those of before are shown", error=error)


class Certificates:
    """The current certificate, key and authority. What cannot be read anew changes nothing."""

    def __init__(
        self, settings: MutualTls, where: str = "control_tls", *, use: Callable[[Pem], None] | None = None
    ) -> None:
        """`use` is given what is current, now and whenever it changes; a ValueError of it says that it cannot be used.

        Raises ConfigError where the files are no certificate with its key.
        """
        self._settings = settings
        self._where = where
        self._use = use
        self.current = self._take(self._read())

    @property
    def server_name(self) -> str:
        return self._settings.server_name

    async def run(self) -> None:
        """Looks each second, until cancelled."""
        await look_each_second(self.look, _tell_failure)

    async def look(self) -> None:
        """Raises ConfigError where what is there now cannot be used."""
        found = await asyncio.to_thread(self._read)
        if found == self.current:
            return
        self.current = self._take(found)
        _RELOADS.labels("done").inc()
        _log.info("certificates read anew", expires=found.expires.isoformat())

    def for_server(self) -> grpc.ServerCredentials:
        """Asks each client for a certificate of the authority, and shows each new connection the current one."""
        shown = self.current

        def changed() -> Any:  # noqa: ANN401 - the stubs do not know of None
            nonlocal shown
            if self.current is shown:
                return None  # which says to gRPC that nothing changed
            shown = self.current
            return _server_side(shown)

        return grpc.dynamic_ssl_server_credentials(_server_side(shown), changed, require_client_authentication=True)

    def _take(self, found: Pem) -> Pem:
        if self._use is not None:
            try:
                self._use(found)
            except ValueError as error:
                raise ConfigError(f"{self._where}: {error}") from None
        _EXPIRY.labels(self._where.removesuffix("_tls")).set(found.expires.timestamp())
        return found

    def _read(self) -> Pem:
        certificate, key, authority = (
            self._bytes(name, path)
            for name, path in (
                ("certificate", self._settings.certificate),
                ("key", self._settings.key),
                ("authority", self._settings.authority),
            )
        )
        try:
            shown = x509.load_pem_x509_certificates(certificate)[0]
            x509.load_pem_x509_certificates(authority)
        except ValueError:
            raise ConfigError(f"{self._where}: certificate and authority must be certificates in PEM") from None
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(str(self._settings.certificate), str(self._settings.key), password=_no_password)
        except (ssl.SSLError, ValueError, OSError):
            raise ConfigError(f"{self._where}: the key is not the certificate's, or has a password") from None
        return Pem(certificate, authority, shown.not_valid_after_utc.astimezone(UTC), key)

    def _bytes(self, name: str, path: Path | None) -> bytes:
        if path is None:
            raise ConfigError(f"{self._where}.{name} is not set")
        try:
            return path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{self._where}.{name}: {path} cannot be read: {error.strerror}") from None


def for_client(pem: Pem) -> grpc.ChannelCredentials:
    """Shows the certificate to a server that has one of the authority."""
    return grpc.ssl_channel_credentials(pem.authority, pem.key, pem.certificate)


def _server_side(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], root_certificates=pem.authority)


def _no_password() -> str:
    raise ValueError("the key has a password")
