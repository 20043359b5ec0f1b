"""How long silence has to last before it ends a turn: by the end-of-turn model, the words, and the caller's rhythm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from antiphon.turns.words import Ending

if TYPE_CHECKING:
    from antiphon.turns.policy import TurnPolicy

KEPT_PAUSES = 32
"""Of the caller's last pauses within turns."""
_ENOUGH_PAUSES = 4
_SHORTEST_PAUSE_S = 0.15
_LONGEST_PAUSE_S = 3.0
_QUANTILE = 0.85
_USUAL_PAUSE_S = 0.45
"""That quantile of a usual speaker's pauses: theirs against it is the caller's rhythm."""
_ODDS = {Ending.GOES_ON: -2.5, Ending.THINKING: -2.5, Ending.COMPLETE: 1.5}
"""What words add to the logarithm of the odds of an end."""


def scale(policy: TurnPolicy, pauses: tuple[float, ...]) -> float:
    """How much longer (or shorter) than usual this caller's pauses are, within the policy's bounds."""
    if len(pauses) < _ENOUGH_PAUSES:
        return 1.0
    ordered = sorted(pauses)
    typical = ordered[min(len(ordered) - 1, int(_QUANTILE * len(ordered)))]
    return min(policy.most_scale, max(policy.least_scale, typical / _USUAL_PAUSE_S))


def likelihood(probability: float | None, ending: Ending) -> float | None:
    """Joins the model's word with what the words say; None where neither says anything."""
    odds = _ODDS.get(ending)
    if odds is None:
        return probability
    before = min(0.999, max(0.001, 0.5 if probability is None else probability))
    return 1 / (1 + math.exp(-(math.log(before / (1 - before)) + odds)))


def wait_s(policy: TurnPolicy, pauses: tuple[float, ...], probability: float | None, ending: Ending) -> float:
    """Seconds of silence after which the turn is over."""
    rhythm = scale(policy, pauses)
    known = likelihood(probability, ending)
    if known is None:
        return policy.silence_s * rhythm
    doubt = min(1.0, max(0.0, (policy.certain - known) / (policy.certain - policy.unlikely)))
    longest = max(policy.certain_s, policy.unsure_s * rhythm)
    return policy.certain_s + doubt * (longest - policy.certain_s)


def with_pause(pauses: tuple[float, ...], seconds: float) -> tuple[float, ...]:
    """Returns the caller's pauses with one more, if it is one: neither a stop consonant nor an absence."""
    if not _SHORTEST_PAUSE_S <= seconds <= _LONGEST_PAUSE_S:
        return pauses
    return (*pauses, seconds)[-KEPT_PAUSES:]
