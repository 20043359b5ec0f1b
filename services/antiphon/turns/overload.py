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

    late_s: float = LATE_S
    _overloaded: bool = False
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
            if not self.at(now_s):
                self._overloaded = False
            self._second = second
        self._judged += count
        if waited_s > self.late_s:
            self._late += count

    def at(self, now_s: float) -> bool:
        """Whether it is overloaded. Nothing to judge, for as long as it takes to recover, is nothing late."""
        return self._overloaded and int(now_s) - self._second <= _SECONDS_TO_RECOVER

    def _settle(self) -> None:
        poor = self._late > self._judged * _MOST_LATE
        self._judged = self._late = 0
        self._against = 0 if poor is self._overloaded else self._against + 1
        if self._against >= (_SECONDS_TO_RECOVER if self._overloaded else _SECONDS_TO_BE):
            self._overloaded, self._against = poor, 0
