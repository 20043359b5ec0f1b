"""What the caller said in one turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from antiphon.worker.ingest import Conceal, PcmAssembler
from antiphon.worker.quality import TurnQuality

if TYPE_CHECKING:
    from antiphon.frames import Frame
    from antiphon.opus import Pcm


@dataclass(frozen=True, slots=True)
class Turn:
    number: int
    """Counted from 1 in each session."""
    audio: tuple[Frame, ...]
    """Its frames in order, repaired ones in their places; `session.say` takes them as they are."""
    started: float
    """When the voice began, in seconds since the caller's first frame."""
    ended: float
    """When the voice ended."""
    text: str | None = None
    """Its words, where something recognises them."""
    quality: TurnQuality = field(default_factory=TurnQuality)
    """How well its audio came."""

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    def pcm(self, rate: int = 16_000, *, conceal: Conceal = "silence") -> Pcm:
        """Decodes it: mono int16, shape (samples,). Losses without FEC are silence, or as `session.pcm` says.

        A second of audio takes about a millisecond; of a long turn, `await asyncio.to_thread(turn.pcm)`.
        """
        assembler = PcmAssembler(rate, conceal)
        return np.concatenate([np.zeros(0, np.int16), *(assembler.push(frame) for frame in self.audio)])
