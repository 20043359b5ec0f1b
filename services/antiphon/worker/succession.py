"""What a worker leaves to the next: the edge is told how far a caller's frames are done with, and keeps the others.

Those wait here until the agent of the worker that follows listens: it may ask Redis for its checkpoint first. Who
follows, and when, is the edge's business.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon.frames import Frame
    from antiphon.worker.call import Call

_PATIENCE_S = 3.0
"""An agent that does not listen by then does not want to."""


class Succession:
    """Of one call. While its first frames wait, `waits` is true."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._frames: list[Frame] = []
        self._timer: asyncio.TimerHandle | None = None
        self._done = -1
        self.waits = False

    def begin(self) -> None:
        """The call was another worker's: what was said before is to be heard first."""
        takeover = self._call.info.takeover
        if takeover is not None:
            self._call.speaker.take_over(takeover.utterance, takeover.generation)
            self.waits = True
            self._call.legs.here.hear = self._frames.append
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE_S, self._let_go)

    def listens(self) -> None:
        """Somebody takes frames. Who else begins to in the same step hears the first ones, too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            asyncio.get_running_loop().call_soon(self._let_go)

    def _let_go(self) -> None:
        self.waits, self._timer = False, None
        call, leg = self._call, self._call.legs.here
        if leg.hear == self._frames.append:
            leg.hear = call.hear
        frames, self._frames = self._frames, []
        for frame in frames:
            if call.closed.is_set():
                return
            try:
                call.hear(frame)
            except Exception as error:  # noqa: BLE001 - as at the link: it ends this session
                call.fail(error, "hear")

    def moved(self) -> None:
        """Another edge has the call: it knows nothing of what was done with."""
        self._done = -1

    def acknowledge(self) -> None:
        """Tells the edge what it need not keep: what no turn can need, or what was heard, where nobody takes turns."""
        call = self._call
        if self.waits or call.closed.is_set():
            return
        listener, last = call.ears.listener, call.last_frame
        heard = 0 if last is None else last.timestamp + last.duration
        done = heard if last is None or listener is None else listener.needed
        if done != self._done:
            self._done = done
            call.legs.here.done(done)

    def close(self) -> None:
        self.waits = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
