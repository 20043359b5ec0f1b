"""Session time at this moment: how far a caller's frames are, told between two of them by a monotonic clock."""

from __future__ import annotations

_DRIFT = 0.0005
"""Of two clocks against each other, at most: so much the offset is let go per second."""


class SessionClock:
    """Seconds since the caller's first frame. Never behind the audio that came; it goes back by no more than drift."""

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._synced_s = 0.0

    @property
    def begun(self) -> bool:
        """Whether any audio came."""
        return self._offset_s is not None

    def sync(self, now_s: float, audio_s: float) -> None:
        """At `now_s` of the clock there came audio up to `audio_s`."""
        offset_s = now_s - audio_s
        if self._offset_s is None:
            self._offset_s = offset_s
        else:
            # The frame that travelled fastest tells best; an old one less, since clocks drift.
            self._offset_s = min(offset_s, self._offset_s + _DRIFT * (now_s - self._synced_s))
        self._synced_s = now_s

    def at(self, now_s: float) -> float:
        """Session time; 0 before the first frame."""
        return 0.0 if self._offset_s is None else now_s - self._offset_s

    def when(self, session_s: float) -> float:
        """The clock's time at which a session second was at hand, at the earliest."""
        return session_s + (self._offset_s or 0.0)
