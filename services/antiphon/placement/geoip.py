"""GeoIP: where an address is, and whose network it is of: MaxMind's City and ASN files, read anew when they change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import geoip2.database
import geoip2.errors
import maxminddb

from antiphon import telemetry
from antiphon.errors import ConfigError
from antiphon.placement.geography import Place

if TYPE_CHECKING:
    from pathlib import Path

_log = telemetry.get_logger("placement")
_RELOADS = telemetry.counter("placement_geoip_reloads", "GeoIP files that changed, by outcome.", ["kind", "outcome"])
_LOOK_S = 5.0


class Locator:
    """Finds the place and the network of an address; without files it knows none."""

    def __init__(self, city: Path | None = None, asn: Path | None = None) -> None:
        """Raises ConfigError where a file cannot be used."""
        self._city = _Database(city, "City") if city else None
        self._asn = _Database(asn, "ASN") if asn else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for database in self._databases():
            database.reader.close()

    def find(self, address: str) -> tuple[Place, str] | None:
        """The place, and its name in words. None for loopback, private and unknown addresses."""
        if self._city is None:
            return None
        try:
            city = self._city.reader.city(address)
        except (geoip2.errors.AddressNotFoundError, ValueError):
            return None
        latitude, longitude = city.location.latitude, city.location.longitude
        if latitude is None or longitude is None:
            return None
        name = ", ".join(part for part in (city.city.name, city.country.iso_code) if part) or "a known place"
        return Place(latitude, longitude), name

    def asn(self, address: str) -> int | None:
        """The number of the autonomous system that the address is of."""
        if self._asn is None:
            return None
        try:
            return self._asn.reader.asn(address).autonomous_system_number
        except (geoip2.errors.AddressNotFoundError, ValueError):
            return None

    async def reload(self) -> None:
        """Looks for changed files once. One that cannot be used changes nothing."""
        for database in self._databases():
            await database.reload()

    async def keep_fresh(self) -> None:
        """Looks every few seconds until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.reload()

    def _databases(self) -> list[_Database]:
        return [database for database in (self._city, self._asn) if database is not None]


class _Database:
    """One file and its reader. Lookups run on the loop, and so does the change of readers: none is closed in use."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        self._kind = kind
        self._stamp = _stamp(path)
        self.reader = _open(path, kind)

    async def reload(self) -> None:
        stamp = await asyncio.to_thread(_stamp, self._path)
        if stamp is None or stamp == self._stamp:  # it may be away for a moment while it is replaced
            return
        self._stamp = stamp
        try:
            reader = await asyncio.to_thread(_open, self._path, self._kind)
        except ConfigError as error:
            _RELOADS.labels(self._kind, "refused").inc()
            _log.error("a changed GeoIP file cannot be used: the last one is", error=str(error))
            return
        self.reader, before = reader, self.reader
        before.close()
        _RELOADS.labels(self._kind, "loaded").inc()
        _log.info("GeoIP file read anew", kind=self._kind, built=reader.metadata().build_epoch)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _open(path: Path, kind: str) -> geoip2.database.Reader:
    """Raises ConfigError. The file is read into memory: one that is overwritten in place must not change under us."""
    setting = f"signaling.geoip.{kind.lower()}_database"
    try:
        reader = geoip2.database.Reader(path, mode=maxminddb.MODE_MEMORY)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error}") from None
    found = reader.metadata().database_type
    if kind not in found:
        reader.close()
        raise ConfigError(f"{setting}: {path} is a {found}, not {'an ASN' if kind == 'ASN' else 'a City'} file")
    return reader
