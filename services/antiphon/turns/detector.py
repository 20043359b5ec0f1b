"""When a caller's turn begins and ends: voice probability and time in, starts and ends out. Pure.

A turn starts once voice has lasted `onset_s`, or a window is `sure`. It ends when there was no voice for `silence_s`.
Between `pause` and `voice` the state stays what it was (hysteresis).
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    voice: float = 0.5
    """Probability from which on a window is voice."""
    pause: float = 0.35
    """Probability below which it is none."""
    sure: float = 0.7
    """Probability at which one window is enough."""
    onset_s: float = 0.06
    """Voice this long starts a turn."""
    silence_s: float = 0.6
    """No voice for this long ends it."""
    confirm_s: float = 0.3
    """What the edge took for voice, and paused for, was none if it has not become a turn by then."""
    longest_s: float = 60.0
    """A turn ends here in any case, so that memory is bounded."""
    gap_wait_s: float = 0.3
    """A turn that ended with frames missing is handed over a round trip later, or after this at the latest."""


@dataclass(frozen=True, slots=True)
class Quiet:
    pass


@dataclass(frozen=True, slots=True)
class Onset:
    since_s: float


@dataclass(frozen=True, slots=True)
class Talking:
    since_s: float
    voice_s: float
    """End of the last voice."""


State = Quiet | Onset | Talking


@dataclass(frozen=True, slots=True)
class TurnStarted:
    at_s: float
    """Where the voice began."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    started_s: float
    ended_s: float
    """Where the voice ended."""
    decided_s: float
    """When that was known."""


Event = TurnStarted | TurnEnded


def advance(
    state: State, policy: TurnPolicy, start_s: float, end_s: float, probability: float
) -> tuple[State, Event | None]:
    """Moves on by the window [start_s, end_s) of session time."""
    if isinstance(state, Talking):
        voice_s = max(state.voice_s, end_s) if probability >= policy.pause else state.voice_s
        if end_s - voice_s >= policy.silence_s or end_s - state.since_s >= policy.longest_s:
            return Quiet(), TurnEnded(state.since_s, voice_s, end_s)
        return Talking(state.since_s, voice_s), None
    if probability < (policy.pause if isinstance(state, Onset) else policy.voice):
        return Quiet(), None
    since_s = state.since_s if isinstance(state, Onset) else start_s
    if probability >= policy.sure or (probability >= policy.voice and end_s - since_s >= policy.onset_s):
        return Talking(since_s, end_s), TurnStarted(since_s)
    return Onset(since_s), None


class TurnDetector:
    """Holds one caller's state."""

    def __init__(self, policy: TurnPolicy | None = None) -> None:
        self.policy = policy or TurnPolicy()
        self.expected = False
        """Other evidence says that there is voice: one window is enough, as if it were sure."""
        self._state: State = Quiet()
        self._expecting = replace(self.policy, sure=self.policy.voice)
        self._now_s = 0.0

    @property
    def open(self) -> bool:
        """Whether there is voice, or has been until less than the silence timeout ago."""
        return not isinstance(self._state, Quiet)

    @property
    def in_doubt(self) -> bool:
        """Whether the last windows were voice, but not yet for long enough to be a turn."""
        return isinstance(self._state, Onset)

    @property
    def now_s(self) -> float:
        """End of the last window."""
        return self._now_s

    def hear(self, start_s: float, end_s: float, probability: float) -> Event | None:
        """A window of audio was judged. Windows that lie in the past are ignored."""
        if end_s <= self._now_s:
            return None
        self._now_s = end_s
        policy = self._expecting if self.expected else self.policy
        self._state, event = advance(self._state, policy, start_s, end_s, probability)
        return event
