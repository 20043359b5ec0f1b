"""An utterance: while it is said, and what became of it. Who says it, and hears of it, is speaker.py."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from antiphon.frames import CLOCK_RATE

if TYPE_CHECKING:
    from antiphon.worker.latency import TurnTrace
    from antiphon.worker.speech import Word


@dataclass(frozen=True, slots=True)
class Said:
    """What became of an utterance."""

    utterance: int
    """Counted from 1 in each session; 0 where it never began."""
    heard: float
    """Seconds that the caller's device has played, as well as the edge can tell."""
    length: float
    """Seconds that were handed to the edge."""
    cut: str | None
    """None when all of it was played; else why not: interrupted, stopped, withdrawn, closed."""
    received: float = 0.0
    """Seconds that reached the caller's device, as well as the edge can tell: less what the network lost for good."""
    heard_by: Literal["estimate", "device"] = "estimate"
    """How `heard` is known: reckoned from the round trip, or told by the caller's device."""
    underruns: int = 0
    """Times that the caller had to wait because frames came too late."""
    words: tuple[Word, ...] | None = None
    """The words that were heard to their ends; None where the audio brought no words."""

    @property
    def text(self) -> str | None:
        """What was heard, to the word; None where the audio brought no words."""
        return None if self.words is None else " ".join(word.text for word in self.words)

    @property
    def text_exact(self) -> bool:
        """Whether the synthesiser told where each of these words ends; else that was estimated."""
        return all(word.exact for word in self.words or ())

    @property
    def complete(self) -> bool:
        return self.cut is None


class Utterance:
    """An utterance in progress. It is settled once no more of it will be played."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.length = 0
        self.sent = 0
        self.heard = 0
        self.received = 0
        self.by_device = False
        self.underruns = 0
        self.words: list[Word] = []
        self.silent = True
        """Whether all of it so far is silence."""
        self.state = ""
        self.cut: str | None = None
        self.moved = asyncio.Event()
        self.settled = asyncio.Event()
        self.trace: TurnTrace | None = None
        """Of the turn that it is the first answer to."""
        self.generation = 0
        self.base = 0
        """What other edges played of it, before this one: an edge counts from there."""
        self.unsent: deque[tuple[int, int, bytes, int]] = deque()
        """What was handed over and may not have left yet: tick of its end, duration, packet, level."""
        self.waits = False
        """Whether it is not known yet from where on another edge shall play."""
        self.finished = False
        """Whether all of it was handed over."""

    def said(self) -> Said:
        heard_s = math.inf if self.cut is None else self.heard / CLOCK_RATE
        words = tuple(word for word in self.words if word.end <= heard_s) if self.words else None
        return Said(
            utterance=self.number,
            heard=self.heard / CLOCK_RATE,
            length=self.length / CLOCK_RATE,
            cut=self.cut,
            received=self.received / CLOCK_RATE,
            heard_by="device" if self.by_device else "estimate",
            underruns=self.underruns,
            words=words,
        )
