"""What a recogniser makes of the caller's words while they are spoken: evidence for turn-taking, and a head start.

The words of a turn are asked for when the caller pauses, those of a sound over the agent's voice when it lasts. What
was recognised at the pause that proved to be the turn's end need not be recognised again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from antiphon.errors import AntiphonError
from antiphon.worker import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from antiphon.opus import Pcm
    from antiphon.worker.stretch import Stretch


class PartError(AntiphonError):
    """A part of an agent cannot do its work: it is missing, overloaded, or answers with an error."""


class Recognizer(Protocol):
    """Speech to text: what `session.turns.recognizer` takes."""

    async def recognize(self, pcm: Pcm, /) -> str:
        """The words of a turn: mono int16 at 16 kHz in, text out, empty where nothing was said. Raises PartError.

        It is called when the caller pauses, and again with the whole of the turn when they went on.
        """
        ...


class Partials:
    """Of one call. One stretch is recognised at a time; of those that come meanwhile, the last."""

    def __init__(
        self, spawn: Callable[[Coroutine[None, None, None], str], asyncio.Task[None]], told: Callable[[str], None]
    ) -> None:
        self._spawn = spawn
        self._told = told
        self._task: asyncio.Task[None] | None = None
        self._next: tuple[Recognizer, Stretch, asyncio.Future[str | None]] | None = None
        self._asked: tuple[float, float] | None = None
        self._text: asyncio.Future[str | None] | None = None

    def ask(self, recognizer: Recognizer, stretch: Stretch) -> None:
        """Recognises a stretch, and tells its text; nothing where it is the one that was asked for last."""
        key = (stretch.started_s, stretch.ended_s)
        if key == self._asked:
            return
        if self._next is not None:
            self._next[2].set_result(None)  # it was not begun
            metrics.PARTIALS.labels("superseded").inc()
        self._asked, self._text = key, asyncio.get_running_loop().create_future()
        self._next = (recognizer, stretch, self._text)
        if self._task is None or self._task.done():
            self._task = self._spawn(self._run(), "partials")

    def of(self, started_s: float, ended_s: float) -> asyncio.Future[str | None] | None:
        """The text of a stretch, where that was the last that was asked for; the text is None where that failed."""
        return self._text if self._asked == (started_s, ended_s) else None

    async def _run(self) -> None:
        while self._next is not None:
            (recognizer, stretch, future), self._next = self._next, None
            text: str | None = None
            try:
                text = (await recognizer.recognize(await asyncio.to_thread(stretch.pcm))).strip()
                metrics.PARTIALS.labels("recognized" if text else "empty").inc()
            except PartError:
                metrics.PARTIALS.labels("failed").inc()
            finally:
                if not future.done():
                    future.set_result(text)
            if text and future is self._text:
                self._told(text)
