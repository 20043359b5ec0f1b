"""An agent in a room: it hears each member, learns who comes, goes and speaks, and talks to all of them or to one.

What members say to each other is the edge's business; here they are sessions, each with turns and playout of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from antiphon.ids import room_name
from antiphon.telemetry import get_logger
from antiphon.worker import metrics
from antiphon.worker.audio import Audio, Packet, packets
from antiphon.worker.checkpoints import encode
from antiphon.worker.ingest import QUEUE_FRAMES, Mailbox
from antiphon.worker.session import Session
from antiphon.worker.tasks import Tasks, called

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import structlog

    from antiphon.frames import Frame, Gap
    from antiphon.worker.call import Call
    from antiphon.worker.turn import Turn
    from antiphon.worker.utterance import Said

MemberHandler = Callable[[Session], Awaitable[None] | None]
SpeakingHandler = Callable[[Session, bool], Awaitable[None] | None]
RoomTurnHandler = Callable[["Turn", Session], Awaitable[None]]
RoomMessageHandler = Callable[[Any, Session], Awaitable[None] | None]

_log = get_logger("worker")


@dataclass(frozen=True, slots=True)
class RoomAgent:
    """An agent's function that takes a room."""

    function: Callable[[Room], Coroutine[Any, Any, None]]


class Room:
    """What a room's agent sees. A session outside any room is one of its own. All of it belongs to the event loop."""

    def __init__(self, name: str, agent: str) -> None:
        self.name = name
        """The room's name; empty where the agent was called outside any."""
        self._agent = agent
        self._members: dict[Call, Session] = {}
        self._speaking: frozenset[str] = frozenset()
        self._muted: frozenset[str] = frozenset()
        self._told: dict[str, Mapping[str, tuple[bool, bool]]] = {}
        self._begun = False
        self._checkpoint: str | None = None
        self._tasks = Tasks(f"room {name}", self._failed)
        self._readers: list[_Reader] = []
        self._joined: MemberHandler | None = None
        self._left: MemberHandler | None = None
        self._spoke: SpeakingHandler | None = None
        self._turn: RoomTurnHandler | None = None
        self._message: RoomMessageHandler | None = None

    @property
    def members(self) -> tuple[Session, ...]:
        """Sessions that are connected, in the order of their coming."""
        return tuple(self._members.values())

    @property
    def speakers(self) -> tuple[Session, ...]:
        """Members that speak, by the levels that the edge sees."""
        return tuple(member for member in self.members if member.id in self._speaking)

    @property
    def log(self) -> structlog.stdlib.BoundLogger:
        """A logger that names the room."""
        return _log.bind(room=self.name, agent=self._agent)

    def muted(self, member: Session) -> bool:
        """Whether nobody hears a member."""
        return member.id in self._muted

    # what happens: decorators

    def on_join(self, handler: MemberHandler) -> MemberHandler:
        """Somebody came: `handler(member)`, plain or async. Those who are there already are told of, too."""
        self._joined = handler
        for member in self.members:
            self._handle(handler, member)
        return handler

    def on_leave(self, handler: MemberHandler) -> MemberHandler:
        """Somebody left: `handler(member)`, plain or async."""
        self._left = handler
        return handler

    def on_speaking(self, handler: SpeakingHandler) -> SpeakingHandler:
        """A member began or ceased to speak: `handler(member, speaking)`, plain or async."""
        self._spoke = handler
        return handler

    def on_turn(self, handler: RoomTurnHandler) -> RoomTurnHandler:
        """A member has finished a turn: `await handler(turn, member)`. As a session's `on_turn`, for each of them."""
        self._turn = handler
        for call, member in self._members.items():
            self._listen(call, member)
        return handler

    def on_message(self, handler: RoomMessageHandler) -> RoomMessageHandler:
        """A member's application sent something: `handler(data, member)`, plain or async; data is any JSON value."""
        self._message = handler
        for call, member in self._members.items():
            call.message_handler = partial(_swap, handler, member)
        return handler

    # what the agent does

    async def say(
        self,
        audio: Audio,
        *,
        rate: int | None = None,
        to: Session | Collection[Session] | None = None,
        but: Session | None = None,
    ) -> Mapping[Session, Said]:
        """Says `audio`, as a session's `say`, to all members, or only `to` one or some, or to all `but` one.

        Returns when each has heard it, or where it was cut: for those who speak over it, and for those who leave. Who
        comes later does not hear it.
        """
        chosen = self._chosen(to, but)
        shared = _Shared(packets(audio, rate))
        try:
            said = await asyncio.gather(*(member.say(shared.read()) for member in chosen))
        finally:
            await shared.close()
        return dict(zip(chosen, said, strict=True))

    def stop(self) -> None:
        """Cuts what is being said to anybody."""
        for member in self.members:
            member.stop()

    def send(self, message: Any, *, to: Session | Collection[Session] | None = None) -> None:  # noqa: ANN401
        """Sends any JSON value to the members' applications."""
        for member in self._chosen(to, None):
            member.send(message)

    def mute(self, member: Session, muted: bool = True) -> None:  # noqa: FBT001, FBT002 - as one says it
        """Lets nobody hear a member, this agent among them; or lets it be heard again."""
        member.mute(muted)

    def checkpoint(self, state: Any) -> None:  # noqa: ANN401
        """What the room's agent wants to know again if its worker is lost: any JSON value of 16 KiB at most.

        As a session's `checkpoint`, and beside those of the members.
        """
        self._checkpoint = encode(state)
        self._keep()

    async def restored(self) -> Any:  # noqa: ANN401
        """The room's last checkpoint, where it was with another worker that is lost; else None."""
        call = next(iter(self._members), None)
        return await call.restored(room=bool(call.info.room)) if call is not None else None

    def frames(self) -> AsyncIterator[tuple[Session, Frame]]:
        """All members' Opus frames as they arrive, undecoded, each with its sender.

        A reader that falls ten seconds behind loses the oldest.
        """
        reader = _Reader()
        self._readers.append(reader)
        for call, member in self._members.items():
            reader.follow(call, member)
        return reader

    def _chosen(self, to: Session | Collection[Session] | None, but: Session | None) -> tuple[Session, ...]:
        wanted = self.members if to is None else (to,) if isinstance(to, Session) else tuple(to)
        return tuple(member for member in wanted if member is not but)

    # what the edge tells

    def join(self, call: Call, member: Session) -> None:
        self._members[call] = member
        if self._turn is not None:
            self._listen(call, member)
        if self._message is not None:
            call.message_handler = partial(_swap, self._message, member)
        for reader in self._readers:
            reader.follow(call, member)
        if self._joined is not None:
            self._handle(self._joined, member)

    def leave(self, call: Call) -> None:
        member = self._members.pop(call, None)
        for reader in self._readers:
            reader.forget(call)
        if member is not None and self._left is not None:
            self._handle(self._left, member)
        self._keep()  # it may have been to be written in the name of that member

    def has(self, call: Call) -> bool:
        return call in self._members

    def changed(self, edge: str, told: Mapping[str, tuple[bool, bool]]) -> None:
        """told: muted and speaking by session id, as one of its edges knows them; it has two while it moves."""
        at = {call.info.id: call.info.edge for call in self._members}
        here = {edge, *at.values()}
        self._told = {name: known for name, known in {**self._told, edge: told}.items() if name in here}
        members: dict[str, tuple[bool, bool]] = {}
        for name, known in self._told.items():
            members |= {one: state for one, state in known.items() if one not in members or at.get(one) == name}
        before = self._speaking
        self._speaking = frozenset(session for session, (_, speaking) in members.items() if speaking)
        self._muted = frozenset(session for session, (muted, _) in members.items() if muted)
        if self._spoke is not None:
            for member in self.members:
                if (member.id in before) != (member.id in self._speaking):
                    self._handle(self._spoke, member, member.id in self._speaking)

    @property
    def begun(self) -> bool:
        return self._begun

    def start(self, agent: RoomAgent) -> None:
        """Does nothing the second time."""
        if not self._begun:
            self._begun = True
            self._tasks.spawn(self._run(agent), "agent")

    async def close(self) -> None:
        """Ends the agent's code."""
        for reader in self._readers:
            reader.close()
        await self._tasks.end()

    async def _run(self, agent: RoomAgent) -> None:
        await agent.function(self)
        handlers = (self._joined, self._left, self._spoke, self._turn, self._message)
        if all(handler is None for handler in handlers):  # nothing of the agent is left that could act
            for member in self.members:
                member.hang_up()

    def _keep(self) -> None:
        call = next(iter(self._members), None)
        if self._checkpoint is not None and call is not None:
            call.checkpoint(self._checkpoint, call.info.room)

    def _listen(self, call: Call, member: Session) -> None:
        handler = self._turn

        async def heard(turn: Turn) -> None:
            if handler is not None:
                await handler(turn, member)

        call.answering.listen(heard)

    def _handle(self, handler: Callable[..., Awaitable[None] | None], *arguments: object) -> None:
        self._tasks.spawn(called(handler, *arguments), "event")

    def _failed(self, error: BaseException, _what: str) -> None:
        self.log.error("room's agent failed", exc_info=error)
        for call in tuple(self._members):
            call.fail(error, "room")


class Rooms:
    """The rooms that have an agent here: one run of it for each, from the first member to the last."""

    def __init__(self) -> None:
        self._rooms: dict[tuple[str, str], Room] = {}
        self._coming: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return sum(room.begun for room in self._rooms.values())

    async def attend(self, agent: RoomAgent, call: Call) -> None:
        """A session's part: it is a member while it is connected."""
        key = _key(call)
        self._coming[key] += 1
        self._room(key)  # its edge may tell of it before this call's task goes on
        try:
            await call.wait_connected()
            room = self._room(key)
            room.start(agent)
            room.join(call, Session(call))
        finally:
            self._came(key)
        metrics.ROOMS.set(len(self))
        try:
            await call.closed.wait()
        finally:
            room.leave(call)
            if not room.members:
                if self._rooms.get(key) is room:
                    del self._rooms[key]
                metrics.ROOMS.set(len(self))
                await room.close()

    def abandon(self, call: Call) -> None:
        """Others had this call, and its room, meanwhile: what the room's run knows is old, who comes begins another."""
        key = _key(call)
        room = self._rooms.get(key)
        if room is not None and room.has(call):
            del self._rooms[key]

    def changed(self, edge: str, room: str, members: Mapping[str, tuple[bool, bool]]) -> None:
        """An edge tells who is muted and who speaks in a room."""
        for (name, _), found in self._rooms.items():
            if name == room:
                found.changed(edge, members)

    def _room(self, key: tuple[str, str]) -> Room:
        name, agent = key
        return self._rooms.setdefault(key, Room(room_name(name), agent))

    def _came(self, key: tuple[str, str]) -> None:
        """Somebody is in, or gave up: a room that nobody is in or about to enter is none."""
        self._coming[key] -= 1
        if not self._coming[key]:
            del self._coming[key]
            if (room := self._rooms.get(key)) is not None and not room.members:
                del self._rooms[key]


def _key(call: Call) -> tuple[str, str]:
    """A room's name in the cluster, and its agent. A session in none is a room of its own."""
    return call.info.room or call.info.id, call.info.agent


class _Shared:
    """One source of packets, read by many listeners, each at its own pace: encoded once."""

    def __init__(self, source: AsyncIterator[Packet]) -> None:
        self._source = source
        self._packets: list[bytes] = []
        self._over = False
        self._pull: asyncio.Task[None] | None = None

    async def read(self) -> AsyncIterator[bytes]:
        at = 0
        while True:
            while at >= len(self._packets) and not self._over:
                if self._pull is None:
                    self._pull = asyncio.create_task(self._fetch())
                await asyncio.shield(self._pull)  # a listener that leaves takes nothing from the others
            if at >= len(self._packets):
                return
            yield self._packets[at]
            at += 1

    async def close(self) -> None:
        self._over = True
        if self._pull is not None:
            self._pull.cancel()
            with suppress(asyncio.CancelledError):
                await self._pull
        closing = getattr(self._source, "aclose", None)
        if closing is not None:
            await closing()

    async def _fetch(self) -> None:
        try:
            packet = await anext(self._source)
        except StopAsyncIteration:
            self._over = True
        except BaseException:
            self._over = True
            raise
        else:
            self._packets.append(packet.payload)
        finally:
            self._pull = None


class _Reader(Mailbox[tuple[Session, "Frame"]]):
    """Frames of all members of a room."""

    def __init__(self) -> None:
        super().__init__("frame", QUEUE_FRAMES)
        self._ears: dict[Call, _Ear] = {}

    def follow(self, call: Call, member: Session) -> None:
        ear = self._ears[call] = _Ear(self, member)
        call.read(ear)

    def forget(self, call: Call) -> None:
        self._ears.pop(call, None)


class _Ear:
    """A reader of one member's frames, who passes them on."""

    def __init__(self, reader: _Reader, member: Session) -> None:
        self._reader = reader
        self._member = member

    def put(self, frame: Frame) -> None:
        self._reader.put((self._member, frame))

    def put_gap(self, gap: Gap) -> None:
        del gap  # a room's reader hears what there is

    def close(self) -> None:
        """The others go on."""


def _swap(handler: RoomMessageHandler, member: Session, data: Any) -> Awaitable[None] | None:  # noqa: ANN401
    return handler(data, member)
