"""Settings of what becomes of calls that are placed: whether they move to better edges, and how eagerly."""

from __future__ import annotations

from pydantic import Field

from antiphon.config_base import Section


class RebalanceConfig(Section):
    """One signaling node at a time reads it; the same on all of them."""

    enabled: bool = False
    """Whether live calls are asked to move to an edge that is nearer or emptier (docs/placement.md)."""
    gain_ms: float = Field(default=20.0, ge=1, le=10_000)
    """A call does not move for less, in milliseconds of placement's cost."""
    stay_s: float = Field(default=600.0, ge=1, le=86_400)
    """A call stays at its edge for so long after it came there, or was asked to leave it, in seconds."""
    moves_per_minute: float = Field(default=30.0, gt=0, le=6000)
    """Most calls of the whole cluster that are asked in a minute, evenly spread over it."""
    most_full: float = Field(default=0.8, gt=0, le=1)
    """No edge is filled by it beyond this share of its capacity."""
    every_s: float = Field(default=10.0, ge=0.2, le=600)
    """Seconds between two looks."""


class PlacementConfig(Section):
    """Where live calls are to be."""

    rebalance: RebalanceConfig = RebalanceConfig()
