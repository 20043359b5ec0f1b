"""GeoIP files that signaling is told to use: there, of the right kind, and not too old."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import maxminddb

from antiphon.cli.checks.check import Check, failure, ok, warning

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon.config import GeoIPConfig

_OLD_DAYS = 30


def check_geoip(config: GeoIPConfig, now: float | None = None) -> list[Check]:
    """Blocks for a moment. now: seconds since 1970."""
    moment = time.time() if now is None else now
    return [
        _check(f"signaling.geoip.{kind.lower()}_database", kind, path, moment)
        for kind, path in (("City", config.city_database), ("ASN", config.asn_database))
    ]


def _check(setting: str, kind: str, path: Path | None, now: float) -> Check:
    if path is None:
        return ok(setting, "not set: callers are placed by what is measured and learned")
    todo = "Set it to a MaxMind file of this kind (.mmdb) that this user may read, or leave it out."
    try:
        with maxminddb.open_database(path) as reader:
            found, built = reader.metadata().database_type, reader.metadata().build_epoch
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else "no MaxMind file"
        return failure(setting, f"{path} cannot be used: {words}", "Signaling cannot start.", todo)
    if kind not in found:
        return failure(setting, f"{path} is a {found} file, not {kind}", "Signaling cannot start.", todo)
    days = max(0, int((now - built) / 86_400))
    fact = f"{path} ({found}) is {days} day{'s' * (days != 1)} old"
    if days <= _OLD_DAYS:
        return ok(setting, fact)
    means = "Addresses have moved since: some callers are placed far away."
    return warning(setting, fact, means, "Renew it every week (geoipupdate); a running node reads it anew by itself.")
