"""Whether voice detection keeps up: judged later than it may for some seconds on end, it is overloaded. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LATE_S = 0.02
"""A judgement that is told so long after its audio came is late."""
_MOST_LATE = 0.01
"""Of a second's judgements."""
_SECONDS_TO_BE = 3
_SECONDS_TO_RECOVER = 5


@dataclass(slots=True)
class Overload:
    """Counts judgements second by second."""

    overloaded: bool = False
    _second: int = 0
    _judged: int = 0
    _late: int = 0
    _against: int = 0
    """Seconds on end that spoke against what is believed now."""

    def judged(self, now_s: float, count: int, waited_s: float) -> None:
        """`count` judgements were told, of audio that came `waited_s` before."""
        second = int(now_s)
        if second != self._second:
            self._settle()
            self._second = second
        self._judged += count
        if waited_s > LATE_S:
            self._late += count

    def _settle(self) -> None:
        poor = self._late > self._judged * _MOST_LATE
        self._judged = self._late = 0
        self._against = 0 if poor is self.overloaded else self._against + 1
        if self._against >= (_SECONDS_TO_RECOVER if self.overloaded else _SECONDS_TO_BE):
            self.overloaded, self._against = poor, 0
