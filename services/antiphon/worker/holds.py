"""Who holds an agent's playout: its own code, the worker's doubt, the edge's. Pure: values and their commands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Owner(Enum):
    AGENT = auto()
    """The agent's code, by `hold`."""
    WORKER = auto()
    """The worker's voice detector doubts that the agent may go on."""
    EDGE = auto()
    """The edge does, and has paused already."""


class Command(Enum):
    """What the edge has to be told."""

    HOLD = auto()
    RESUME = auto()
    """The worker lets go of its hold; the edge's own stays until it is released or flushed."""


@dataclass(frozen=True, slots=True)
class Holds:
    owners: frozenset[Owner] = frozenset()

    def __contains__(self, owner: Owner) -> bool:
        return owner in self.owners

    def take(self, owner: Owner) -> tuple[Holds, Command | None]:
        after = Holds(self.owners | {owner})
        return after, Command.HOLD if after._here and not self._here else None

    def let_go(self, owner: Owner) -> tuple[Holds, Command | None]:
        after = Holds(self.owners - {owner})
        if owner is Owner.EDGE:
            return after, None
        return after, Command.RESUME if self._here and not after._here else None

    @property
    def _here(self) -> frozenset[Owner]:
        return self.owners - {Owner.EDGE}
