"""What the caller said in one turn."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from antiphon.worker.latency import AGENT_STAGES, STAGES, TurnTrace
from antiphon.worker.quality import TurnQuality
from antiphon.worker.stretch import Stretch

if TYPE_CHECKING:
    from antiphon.frames import Frame
    from antiphon.opus import Pcm
    from antiphon.worker.ingest import Conceal


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
    commitment: asyncio.Event | None = field(default=None, repr=False, compare=False)
    """Of a turn that was tentative when it was made: set once it is committed."""

    partial: asyncio.Future[str | None] | None = field(default=None, repr=False, compare=False)
    """Its words, as they are recognised already: see `words`."""

    trace: TurnTrace = field(default_factory=TurnTrace, repr=False, compare=False)
    """Its latency, stage by stage: see docs/latency.md."""

    def mark(self, name: str) -> None:
        """Puts this moment into the turn's latency trace: `transcript` and `token` are stages, others stand beside.

        The first of each name counts. Raises ValueError for a name over 32 characters, or more than 32 names, or one of
        a stage that Antiphon itself tells of.
        """
        if name in STAGES and name not in AGENT_STAGES:
            raise ValueError(f"mark {name!r}: Antiphon tells that stage itself; choose another name")
        self.trace.mark(name, asyncio.get_running_loop().time())

    @property
    def tentative(self) -> bool:
        """Whether the caller may yet go on. What is said meanwhile waits, and is never heard if they do."""
        return self.commitment is not None and not self.commitment.is_set()

    async def confirmed(self) -> None:
        """Returns once the turn is committed. If it is withdrawn instead, the task of its reply is cancelled."""
        if self.commitment is not None:
            await self.commitment.wait()

    async def words(self) -> str | None:
        """Its text, if that is known or `session.turns.recognizer` works on it already; None: recognise it yourself."""
        if self.text is None and self.partial is not None:
            return await asyncio.shield(self.partial)
        return self.text

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    def pcm(self, rate: int = 16_000, *, conceal: Conceal = "silence") -> Pcm:
        """Decodes it: mono int16, shape (samples,). Losses without FEC are silence, or as `session.pcm` says.

        A second of audio takes about a millisecond; of a long turn, `await asyncio.to_thread(turn.pcm)`.
        """
        return Stretch(self.audio, self.started, self.ended).pcm(rate, conceal)
