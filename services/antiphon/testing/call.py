"""A call with an agent as a test writes it: each method lets virtual time pass, then tells what happened."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from antiphon.frames import Frame
from antiphon.testing.caller import FRAME_S, KEY_END, Fate, SimulatedVoice
from antiphon.testing.edge import Heard, SimulatedEdge
from antiphon.testing.place import SimulatedPlace
from antiphon.turns import HintedVoice, TurnPolicy
from antiphon.worker.call import Call, Hearing
from antiphon.worker.catalogue import load_agents
from antiphon.worker.data import LABEL
from antiphon.worker.rooms import RoomAgent
from antiphon.worker.session import Session
from antiphon.worker.transport import CallInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping
    from types import TracebackType

    from antiphon.opus import Pcm
    from antiphon.worker.agent import Agent
    from antiphon.worker.quality import Quality
    from antiphon.worker.stretch import Stretch


class AgentFailedError(AssertionError):
    """The agent raised an exception; its cause is that exception."""


class SimulatedCall:
    """Somebody talks with `agent`: an agent's function, a built-in agent's name, or the path of a file with one agent.

    The caller is connected from the start. A context manager; without it, call `close`.
    """

    def __init__(
        self,
        agent: Agent | str | Path,
        *,
        metadata: Mapping[str, Any] | None = None,
        policy: TurnPolicy | None = None,
        place: SimulatedPlace | None = None,
        session: str = "ses_test_1",
        restored: Any = None,  # noqa: ANN401
    ) -> None:
        """restored: the checkpoint of an agent before this one, whose worker was lost."""
        self.checkpoints: list[Any] = []
        """What the agent wants to know again where it begins anew."""
        self._restored = restored
        self.messages: list[Any] = []
        """What the agent sent to the caller's application."""
        self.events: list[dict[str, Any]] = []
        """All messages on Antiphon's own data channel, as JSON: sessionStarted, callerTurn, agentUtterance, ..."""
        self.data: list[tuple[str, bytes]] = []
        """(label, payload) of messages on other data channels."""
        self.ended: str | None = None
        """Why the call ended; None while it lasts."""
        self._begin(*resolve(agent), session, metadata, policy, place)

    def _begin(
        self,
        name: str,
        agent: Agent,
        session: str,
        metadata: Mapping[str, Any] | None,
        policy: TurnPolicy | None,
        place: SimulatedPlace | None,
    ) -> None:
        self._place = place or SimulatedPlace()
        self._loop = self._place.loop
        self._voice = SimulatedVoice()
        self._edge = SimulatedEdge(self._received, self._hung_up)
        self._hearing = Hearing(HintedVoice(), policy or TurnPolicy(), self._words)
        self._returned = 0
        self._closed = False
        info = CallInfo(
            session, 1, name, dict(metadata or {}), "127.0.0.1", "edge-test", "test", "worker-test", self._place.room
        )
        self._call: Call
        self._loop.run_until_complete(self._open(info, agent))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # what the caller does

    def says(
        self,
        what: str | Pcm,
        *,
        seconds: float | None = None,
        rate: int = 16_000,
        lost: Container[int] = (),
        late: Mapping[int, float] | None = None,
    ) -> None:
        """Speaks until it is said. Words become `turn.text`, 0.4 s each unless `seconds` tells; PCM is int16 at `rate`.

        The turn ends when the caller then stays silent for the policy's timeout: `waits` or `hears`. Frames whose
        index is in `lost` never arrive; those in `late` are missed at first, and repaired so many seconds later.
        """
        fate = Fate(lost, late or {})
        if isinstance(what, str):
            self._voice.speak_text(what, seconds, fate)
        else:
            self._voice.speak_pcm(np.asarray(what, np.int16), rate, fate)
        self.until(lambda: not self._voice.speaking)

    def waits(self, seconds: float) -> None:
        """Says nothing for a while."""
        self._run(asyncio.sleep(seconds))

    def hears(self, within: float = 30.0) -> Heard:
        """Waits until the agent's next utterance is over, be it complete or cut, and returns it."""
        self.until(lambda: len(self._over()) > self._returned, within)
        heard = self._over()[self._returned]
        self._returned += 1
        return heard

    def until(self, condition: Callable[[], bool], within: float = 120.0) -> None:
        """Lets time pass until `condition()` holds; raises TimeoutError after `within` virtual seconds."""
        self._run(self._until(condition, within))

    def sends(self, message: Any) -> None:  # noqa: ANN401
        """The caller's application sends any JSON value to the agent."""
        self._receive_from_caller({"app": {"data": message}})

    def turn(self, command: str) -> None:
        """The caller's page says something of its turn: press, release, commit, clear, manual, automatic."""
        self._receive_from_caller({"turn": {"command": command}})

    def presses(self, digit: str, *, seconds: float = 0.1, end_lost: bool = False) -> None:
        """Presses a key of the telephone and lets it go. With `end_lost`, the network loses its last packets."""
        self._run(self._press(digit, seconds, end_lost=end_lost))

    def measures(self, quality: Quality) -> None:
        """The edge tells how well the caller's audio comes: `session.quality`."""
        self._call.measured(quality)

    def hangs_up(self) -> None:
        """The caller leaves."""
        self._run(self._leave("bye"))

    # what happened

    @property
    def id(self) -> str:
        """The session's id, as the agent sees it."""
        return self._call.info.id

    @property
    def muted(self) -> bool:
        """Whether the agent lets nobody in the room hear the caller."""
        return self._edge.muted

    @property
    def time(self) -> float:
        """Seconds since the caller was connected."""
        return self._loop.time()

    @property
    def said(self) -> list[Heard]:
        """What the agent has said, in order."""
        return self._edge.said

    @property
    def agent_speaking(self) -> bool:
        return any(heard.started_at is not None and heard.ended_at is None for heard in self._edge.said)

    def event(self, kind: str) -> list[Any]:
        """Bodies of the events of one kind, such as "callerTurn"."""
        return [event[kind] for event in self.events if kind in event]

    def close(self) -> None:
        """Ends the call and checks that the agent's code ended with it."""
        if not self._closed:
            self._closed = True
            try:
                self._loop.run_until_complete(self._end())
            finally:
                self._place.leave(self)

    # underneath

    async def _open(self, info: CallInfo, agent: Agent) -> None:
        kept = _Kept(self.checkpoints, self._restored, self._place)
        self._call = Call(info, self._edge, self._hearing, lambda _: None, checkpoints=kept)
        self._edge.report = self._call.speaker.report
        rooms = self._place.rooms
        session = Session(self._call)
        self._call.start(rooms.attend(agent, self._call) if isinstance(agent, RoomAgent) else agent(session))
        self._ticker = asyncio.create_task(self._tick())
        await asyncio.sleep(0)
        self._place.enter(self, info.id)
        self._call.connected()

    async def _tick(self) -> None:
        while not self._call.closed.is_set():
            self._place.speaks(self, self._voice.speaking)
            for item in self._voice.next(self._loop.time()):
                if isinstance(item, Frame):
                    self._call.hear(item)
                else:
                    self._call.miss(item)
            await asyncio.sleep(FRAME_S)

    async def _press(self, digit: str, seconds: float, *, end_lost: bool) -> None:
        for event in self._voice.press(digit, seconds, self._loop.time()):
            if not (end_lost and event.payload[1] & KEY_END):
                self._call.hear(event)
            await asyncio.sleep(FRAME_S)

    async def _until(self, condition: Callable[[], bool], within: float) -> None:
        end = self._loop.time() + within
        while not condition():
            if self._call.error is not None or self._loop.time() >= end:
                break
            await asyncio.sleep(FRAME_S / 4)
        else:
            return
        if self._call.error is None:
            raise TimeoutError(f"did not happen within {within} s; so far: {self._edge.said}")

    async def _leave(self, reason: str) -> None:
        self._close_call(reason)
        await self._call.wait_tasks()

    async def _end(self) -> None:
        self._close_call("bye")
        async with asyncio.timeout(60):
            await self._call.wait_tasks()
        self._ticker.cancel()

    def _close_call(self, reason: str) -> None:
        self.ended = self.ended or reason
        self._call.close(reason)

    def _run(self, work: Any) -> None:  # noqa: ANN401
        self._loop.run_until_complete(work)
        error = self._call.error
        if error is not None:
            raise AgentFailedError(f"the agent raised {type(error).__name__}: {error}") from error

    def _over(self) -> list[Heard]:
        return [heard for heard in self._edge.said if heard.ended_at is not None and not heard.live]

    def _words(self, _session: str, stretch: Stretch) -> str | None:
        return self._voice.words(stretch)

    def _receive_from_caller(self, message: dict[str, Any]) -> None:
        async def deliver() -> None:
            self._call.receive(LABEL, json.dumps(message).encode(), binary=False)
            await asyncio.sleep(FRAME_S)

        self._run(deliver())

    def _received(self, label: str, payload: bytes, _binary: bool) -> None:  # noqa: FBT001 - as the edge calls it
        if label != LABEL:
            self.data.append((label, payload))
            return
        message = json.loads(payload)
        self.events.append(message)
        if "app" in message:
            self.messages.append(message["app"]["data"])

    def _hung_up(self, reason: str) -> None:
        self._close_call(reason)


class _Kept:
    """Checkpoints as a test gives and reads them."""

    def __init__(self, told: list[Any], before: Any, place: SimulatedPlace) -> None:  # noqa: ANN401
        self._told = told
        self._before = before
        self._place = place

    def put(self, session: str, epoch: int, text: str, *, edge: str = "", takeovers: int = 0, room: str = "") -> None:
        del session, epoch, edge, takeovers
        (self._place.checkpoints if room else self._told).append(json.loads(text))

    async def get(self, session: str, *, room: bool = False) -> Any:  # noqa: ANN401
        del session
        return self._place.restored if room else self._before


def resolve(agent: Agent | str | Path) -> tuple[str, Agent]:
    """Returns an agent's name and what runs it."""
    if isinstance(agent, str):
        agents = load_agents([])
        if agent not in agents:
            raise ValueError(f"no built-in agent {agent!r}; there are {', '.join(sorted(agents))}")
        return agent, agents[agent]
    if isinstance(agent, Path):
        own = load_agents([agent]).items() - load_agents([]).items()
        mine = [(name, one) for name, one in own if Path(_function(one).__code__.co_filename) == agent.resolve()]
        if len(mine) != 1:
            raise ValueError(f"{agent} has {len(mine)} agents: import the one that is meant")
        return mine[0]
    return _function(agent).__name__.replace("_", "-"), agent


def _function(agent: Agent) -> Callable[..., Any]:
    return agent.function if isinstance(agent, RoomAgent) else agent
