"""How a call listens: what it hears is told to the machine of turns, which is as strict as the agent wants it just now.

How the machine is fed and timed is listening.py's business, what it wants done answering.py's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from antiphon.turns import with_wishes
from antiphon.turns.evidence import AgentEnds, AgentStarts, EchoState, Hint, ReplyEnded
from antiphon.worker.listening import Listener, gap_wait_s
from antiphon.worker.partials import Partials
from antiphon.worker.trace_file import TraceRecorder

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable
    from pathlib import Path

    from antiphon.frames import Gap, VoiceHint
    from antiphon.turns import Echo
    from antiphon.turns.actions import Action
    from antiphon.worker.call import Call, Hearing
    from antiphon.worker.stretch import Stretch


class Ears:
    """Of one call; deaf until they are opened."""

    def __init__(self, call: Call, hearing: Hearing, act: Callable[[Action], None]) -> None:
        self.listener: Listener | None = None
        self.policy = with_wishes(hearing.policy, call.info.turns)
        """As the agent wants it; what is protected makes it stricter for a while."""
        self.edge_may_hold = False
        """Whether the edge may pause what is said by itself."""
        self._call = call
        self._hearing = hearing
        self._act = act
        self._partials = Partials(call.tasks.spawn, call.turns.words)
        self._protection: object | None = None

    def open(self) -> None:
        if self.listener is None and not self._call.closed.is_set():
            self.listener = Listener(self._hearing.voice, self.policy, self._act, self.gap_wait_s, self._overhear)
            self._call.succession.listens()
        self.apply_policy()

    def close(self) -> None:
        if self.listener is not None:
            self.listener.close()

    # what may interrupt

    @property
    def interruptible(self) -> bool:
        """Whether the caller's voice may hold and cut what is being said."""
        return self.policy.interruptions != "never" and self._protection is None

    def apply_policy(self) -> None:
        """Tells the listener and the edge what they may do by themselves, where that has changed."""
        if self._call.closed.is_set():
            return
        if self.listener is not None:
            protected = self._protection is not None
            self.listener.policy = replace(self.policy, interruptions="never") if protected else self.policy
        may_hold = self.listener is not None and self.interruptible
        if may_hold != self.edge_may_hold:
            self.edge_may_hold = may_hold
            self._call.let_edge_hold(may_hold)

    def protect(self, what: object) -> None:
        """From now on nothing interrupts, until `unprotect` is told the same."""
        self._protection = what
        self.apply_policy()

    def unprotect(self, what: object) -> None:
        if self._protection is what:
            self._protection = None
            self.apply_policy()

    # what is heard

    def miss(self, gap: Gap) -> None:
        if self.listener is not None:
            self.listener.miss(gap)

    def noticed(self, hint: VoiceHint) -> None:
        """The edge noticed that the caller speaks or has stopped. It is judged by whether a turn comes of it."""
        if self.listener is None or self._call.closed.is_set():
            return
        if hint.onset and hint.held:
            self._call.speaker.held_by_edge()
        self.listener.tell(Hint(self.listener.now_s, hint.onset, hint.held))

    def echoed(self, echo: Echo) -> None:
        """What the edge knows of the agent's voice coming back from the caller."""
        if self.listener is not None and echo is not self.listener.state.echo and not self._call.closed.is_set():
            self.listener.tell(EchoState(self.listener.now_s, echo))

    def agent_speaks(self, begins: bool) -> None:  # noqa: FBT001 - as the speaker tells it
        if self.listener is not None and not self._call.closed.is_set():
            now_s = self.listener.now_s
            self.listener.tell(AgentStarts(now_s) if begins else AgentEnds(now_s))

    def reply_over(self) -> None:
        """The agent has nothing more to say for now."""
        if self.listener is not None:
            self.listener.tell(ReplyEnded(self.listener.now_s))

    def gap_wait_s(self) -> float:
        """For how long a gap is waited for, at most: about a round trip, within the policy's bound."""
        return gap_wait_s(self.policy, self._call.quality.rtt_s)

    # words and stretches

    def cut_out(self, started_s: float, ended_s: float) -> Stretch:
        if self.listener is None:
            raise RuntimeError("a turn without a listener")
        return self.listener.cut_out(started_s, ended_s)

    def partial(self, started_s: float, ended_s: float) -> Future[str | None] | None:
        """What was recognised of a stretch while it was spoken."""
        return self._partials.of(started_s, ended_s)

    def _overhear(self, started_s: float, ended_s: float) -> None:
        recognizer = self._call.turns.recognizer
        if recognizer is not None and self.listener is not None:
            stretch = self.listener.cut_out(started_s, ended_s)
            if self._hearing.words(self._call.info.id, stretch) is None:
                self._partials.ask(recognizer, stretch)

    def record(self, path: Path) -> None:
        """To be replayed: see `antiphon.turns.replay`."""
        self.open()
        if self.listener is not None:
            self.listener.recorder = TraceRecorder(path, self.listener.policy)
