"""What came of a sound over an agent's speech."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Event:
    """Milliseconds after the sound's onset; None: never."""

    kind: str
    voice: str
    text: str
    loss: float
    held_ms: float | None
    flushed_ms: float | None
    resumed_ms: float | None
    """When the same utterance was audible again, where it had been held."""

    @property
    def went_on(self) -> bool:
        """The agent was not interrupted: never held, or resumed where it was held."""
        return self.flushed_ms is None and (self.held_ms is None or self.resumed_ms is not None)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
