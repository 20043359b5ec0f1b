"""Distances on the globe, and the round trip that they let one expect."""

from __future__ import annotations

import math
from dataclasses import dataclass

_EARTH_KM = 6371.0
_FIBRE_KM_PER_MS = 200.0  # two thirds of the speed of light
_DETOUR = 1.4  # paths follow cables and peerings, not great circles
_LAST_MILE_MS = 4.0


@dataclass(frozen=True)
class Place:
    """A point on the globe, in degrees."""

    latitude: float
    longitude: float


def distance_km(a: Place, b: Place) -> float:
    """Great-circle distance (haversine, which stays exact for near points)."""
    phi_a, phi_b = math.radians(a.latitude), math.radians(b.latitude)
    half_phi, half_lambda = (phi_b - phi_a) / 2, math.radians(b.longitude - a.longitude) / 2
    h = math.sin(half_phi) ** 2 + math.cos(phi_a) * math.cos(phi_b) * math.sin(half_lambda) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(min(1.0, h)))


def expected_rtt_ms(distance: float) -> float:
    """The round trip to expect over a distance in km when nobody has measured it."""
    return _LAST_MILE_MS + 2 * distance * _DETOUR / _FIBRE_KM_PER_MS
