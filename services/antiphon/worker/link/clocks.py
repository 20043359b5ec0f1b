"""The other end's monotonic clock against this one, by pings: the answer that was back soonest tells best."""

from __future__ import annotations

_DRIFT = 50e-6
"""Of two clocks against each other, usually: what was learned longer ago is worth so much less a second."""


class Clocks:
    """Seconds. Before the first answer both clocks count as one, as they are within one machine."""

    def __init__(self) -> None:
        self._ahead = 0.0
        """Of the other clock."""
        self._error: float | None = None
        self._learned = 0.0

    def answered(self, sent: float, received: float, back: float) -> None:
        """A ping of ours: sent and back by this clock, received there by the other."""
        round_trip = max(0.0, back - sent)
        known = None if self._error is None else self._error + _DRIFT * (back - self._learned)
        if known is None or round_trip / 2 <= known:
            self._ahead = received - (sent + back) / 2
            self._error, self._learned = round_trip / 2, back

    def here(self, there: float) -> float:
        """A moment of the other clock on this one."""
        return there - self._ahead
