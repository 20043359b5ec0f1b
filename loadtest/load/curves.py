"""How many callers there are when: a ramp, a burst, a soak, a region's outage. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Wish:
    """What a shape is made from: most callers, set-ups a second, seconds in all."""

    users: int
    rate: float
    seconds: float


Moment = tuple[int, float] | None
"""Callers, set-ups a second; none once it is over."""
_WAVES = 4
_STEPS = 5
_DIP = 0.25


def ramp(wish: Wish, at_s: float) -> Moment:
    """Steps of a fifth, each held for as long: where does it begin to hurt?"""
    if at_s >= wish.seconds:
        return None
    step = min(_STEPS, int(at_s / wish.seconds * _STEPS) + 1)
    return max(1, round(wish.users * step / _STEPS)), wish.rate


def burst(wish: Wish, at_s: float) -> Moment:
    """A quarter of the callers, and four times all of them at once."""
    if at_s >= wish.seconds:
        return None
    high = int(at_s / wish.seconds * 2 * _WAVES) % 2 == 1
    return (wish.users, wish.users) if high else (max(1, round(wish.users * _DIP)), wish.users)


def soak(wish: Wish, at_s: float) -> Moment:
    """All callers at their rate, to the end."""
    return None if at_s >= wish.seconds else (wish.users, wish.rate)


def outage_at(wish: Wish) -> float:
    """When the region is lost."""
    return wish.seconds / 2


CURVES: dict[str, Callable[[Wish, float], Moment]] = {"ramp": ramp, "burst": burst, "soak": soak, "outage": soak}
