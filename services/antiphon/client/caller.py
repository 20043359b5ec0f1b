"""One call with an agent: set-up, speaking, hearing, messages, and the end."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, Self

from aiortc.contrib.media import MediaRelay

from antiphon.client import journal
from antiphon.client.api import Api
from antiphon.client.audio import at_call_rate
from antiphon.client.connection import Connection
from antiphon.client.errors import CallEndedError, CallError, CallRefusedError
from antiphon.client.hearing import Hearing
from antiphon.client.probing import measure
from antiphon.client.speaking import Speaking
from antiphon.client.statistics import Statistics, summarize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

_MOST_MESSAGES = 10_000
_RECORD_LOOKS, _RECORD_PAUSE_S = 3, 0.2
RETURN_S = 20.0
"""For so long a call whose edge or worker is lost tries to come back."""
_RETURN_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_ATTEMPT_S = 5.0
_MOST_RETURNS, _OFTEN_S = 5, 60.0
_LEAVE_S = 0.5
"""What the old edge still sends is heard for so long."""


class Caller:
    """`async with Caller(url, agent="parrot") as call:` is a call that is connected; leaving it hangs up.

    Where its edge asks it to leave, or its edge or worker is lost, it comes back by another one by itself.
    Times are seconds since the call began, on a monotonic clock.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        agent: str | None = None,
        room: str | None = None,
        slots: int = 3,
        region: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        turns: Mapping[str, str] | None = None,
        recording: bool = False,
        token: str | None = None,
        timeout: float = 20.0,
    ) -> None:
        """agent: `echo` when not said, or in a room the room's. slots: voices of a room heard at a time, at most 8.

        turns: how the agent shall take turns, such as {"eagerness": "low"}; see docs/turn-taking.md.

        recording: whether the call is recorded, where that is allowed; `journal.recording` tells what comes of it.

        timeout: seconds that the set-up may take.
        """
        self._recording = recording
        self._api = Api(url, token)
        self._agent = agent or (None if room else "echo")
        self._room = room
        self._asked_region = region
        self._metadata = dict(metadata or {})
        self._turns = dict(turns) if turns else None
        self._timeout = timeout
        self._began = time.monotonic()
        self._relay = MediaRelay()
        self._connection: Connection | None = None
        self._connected = asyncio.Event()
        self._changed = asyncio.Condition()
        self._ended = asyncio.Event()
        self._final: Statistics | None = None
        self._setup_ms: dict[str, float] = {}
        self.speaking = Speaking()
        self.hearing = Hearing()
        self._muted = False
        self._hears: tuple[str, ...] = ()
        self._moving: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self.moves: list[tuple[float, float, str, str]] = []
        """When the call began to move and was there, and from which edge to which."""
        self.voices = tuple(Hearing() for _ in range(slots if room else 0))
        """What came in each receive slot of the room; `journal.voices` tells whose voice that is."""
        self.journal = journal.Journal()
        self.messages: deque[Any] = deque(maxlen=_MOST_MESSAGES)
        """What the agent's code sent, as JSON values."""
        self.session = ""
        self.edge = ""
        self.region = ""
        self.worker = ""
        self.end_reason = ""

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hang_up()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def now(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self.hearing.origin

    async def connect(self) -> None:
        """Places the call and returns when media may flow. Raises CallRefusedError or CallError."""
        self._began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                await self._offer()
                await self._connected.wait()
        except TimeoutError:
            where = f"edge {self.edge}" if self.edge else "signaling"
            done = ", ".join(self._setup_ms) or "nothing"
            msg = f"no connection after {self._timeout:.0f} s with {where}; done so far: {done}"
            await self.hang_up()
            raise CallError(msg) from None
        except BaseException:
            await self.hang_up()
            raise
        if self.ended:
            await self.hang_up()
            raise CallEndedError(self.end_reason)

    async def play(self, pcm: NDArray[np.int16], rate: int = 48_000) -> tuple[float, float]:
        """Says shape (samples,) at the pace of life; returns when it was said: (begin, end).

        Raises CallEndedError when the call ends first.
        """
        begin, end = await self.speaking.play(at_call_rate(pcm, rate))
        return (begin - self.hearing.origin, end - self.hearing.origin)

    async def send(self, data: Any) -> None:  # noqa: ANN401 - any JSON value
        """Sends the agent's code a message: any JSON value."""
        await self._say(journal.app_message(data))

    async def turn(self, command: Literal["press", "release", "commit", "clear", "manual", "automatic"]) -> None:
        """A talk button, or the end of the caller's turn by command; `manual`: nothing else ends it from now on."""
        await self._say(journal.turn_message(command))

    async def mute(self, muted: bool = True) -> None:  # noqa: FBT001, FBT002 - as one says it
        """Is heard by nobody in the room, or again."""
        self._muted = muted
        await self._say(journal.mute_message(muted=muted))

    async def hear(self, *sessions: str) -> None:
        """Hears only these members of the room; all of them when none are named."""
        self._hears = sessions
        await self._say(journal.hear_message(sessions))

    async def _say(self, message: str | bytes) -> None:
        await self.wait_for(lambda: self._connection is not None and self._connection.open)
        assert self._connection is not None  # noqa: S101 - waited for
        self._connection.channel.send(message)

    async def wait_for(self, condition: Callable[[], object], within: float | None = None) -> None:
        """Returns when the condition is true; it is asked at each message, change of state, and begin of a sound.

        Raises CallEndedError when the call ends first, TimeoutError after `within` seconds.
        """

        async def wait() -> None:
            async with self._changed:
                await self._changed.wait_for(lambda: condition() or self.ended)
            if not condition():
                raise CallEndedError(self.end_reason)

        await asyncio.wait_for(wait(), within)

    async def wait_ended(self) -> str:
        """Returns why the call ended, once it has."""
        await self._ended.wait()
        return self.end_reason

    async def info(self) -> dict[str, Any]:
        """What signaling knows of this session."""
        return await self._api.session(self.session)

    async def statistics(self) -> Statistics:
        """The call in numbers, also after its end."""
        if self._final is not None:
            return self._final
        steps = dict(self._setup_ms)
        if self.hearing.first_at is not None:
            first = self.hearing.origin + self.hearing.first_at - self._began
            steps["first_frame"] = 1000 * first
        reports = (await self._connection.peer.getStats()).values() if self._connection is not None else ()
        return summarize(reports, steps, self.hearing)

    def recording(self) -> NDArray[np.int16]:
        """What came back so far: shape (samples,) at 48 kHz, from the begin of the call."""
        return self.hearing.pcm()

    async def hang_up(self) -> None:
        """Ends the call; does nothing the second time."""
        if self._final is not None:
            return
        self._final = await self.statistics()
        try:
            if self.session and not self.ended:
                self._say_bye()
                await self._api.delete(self.session)
        except CallError:
            pass  # the edge notices by itself that we are gone
        finally:
            await self._end("bye")
            await asyncio.gather(*self._leaving)
            if self._connection is not None:
                await self._connection.close()
            self.speaking.stop()
            await self._api.close()

    def _say_bye(self) -> None:
        if self._connection is not None and self._connection.open:
            self._connection.channel.send(journal.bye_message())

    def _connect(self, step: Callable[[str], None] = lambda _: None) -> Connection:
        return Connection(
            self._relay.subscribe(self.speaking),
            self.hearing,
            self.voices,
            changed=self._on_change,
            told=self._on_message,
            heard=self._notify,
            step=step,
            wishes=self._wishes,
        )

    def _wishes(self) -> list[bytes]:
        """What another edge of the room does not know of this member yet: also that others muted it."""
        muted = self._muted or self.journal.members.get(self.session, False)
        hears = [journal.hear_message(self._hears)] if self._hears else []
        return [*([journal.mute_message(muted=True)] if muted else []), *hears]

    async def _offer(self) -> None:
        measuring = asyncio.create_task(measure(self._api)) if self._asked_region is None else None
        try:
            await self._set_up(measuring)
        finally:
            if measuring is not None:
                measuring.cancel()

    async def _set_up(self, measuring: asyncio.Task[dict[str, float]] | None) -> None:
        connection = self._connection = self._connect(self._step)
        sdp = await connection.offer(self._api.url)
        placed = await self._api.create(
            sdp,
            agent=self._agent,
            region=self._asked_region,
            metadata=self._metadata,
            room=self._room,
            turns=self._turns,
            rtts=await measuring if measuring is not None else {},
            recording=self._recording,
        )
        self._step("http")
        self.session, self.edge, self.region, self.worker = placed.session, placed.edge, placed.region, placed.worker
        connection.edge = placed.edge
        await connection.accept(placed.sdp)

    def _step(self, name: str) -> None:
        self._setup_ms.setdefault(name, 1000 * (time.monotonic() - self._began))

    async def _on_change(self, connection: Connection) -> None:
        """Of one's connection: connected, its channel open, silent, or over."""
        if connection is self._connection and not self.ended:
            if connection.connected.is_set() and not self._connected.is_set():
                for hearing in (self.hearing, *self.voices):
                    hearing.begin()
                self._connected.set()
            if connection.over:
                await self._connection_over(connection)
            elif connection.silent:
                self._move([connection.edge])
        await self._notify()

    async def _connection_over(self, connection: Connection) -> None:
        """The edge or the path ended it: for a reason, or because something is lost."""
        failed = connection.peer.connectionState == "failed"
        reason = self.journal.end_reason
        if not reason and connection is self._connection:
            reason = await self._recorded_reason()
        if reason in ("", "worker") and self._may_return:
            return self._move([self.worker if reason else connection.edge])
        await self._end(reason or ("the connection failed" if failed else "the other side closed the connection"))
        return None

    # another edge

    @property
    def _may_return(self) -> bool:
        """Whether to come back is worth a try: the call was connected, and is not thrown out again and again."""
        lately = [began for began, *_ in self.moves if began > self.now() - _OFTEN_S]
        return self._connected.is_set() and len(lately) < _MOST_RETURNS

    def _move(self, lost: list[str]) -> None:
        """Comes to another edge, unless it is on its way there already. `lost` edges and workers are not asked for."""
        if not self.ended and (self._moving is None or self._moving.done()):
            self._moving = asyncio.create_task(self._move_on(lost), name="move")

    async def _move_on(self, lost: list[str]) -> None:
        began, before = self.now(), self.edge
        deadline, pause, tries = began + RETURN_S, _RETURN_PAUSE_S, 0
        while not self.ended:
            lost, tries = self._lost(lost), tries + 1
            try:
                async with asyncio.timeout(_ATTEMPT_S):
                    # An edge that was lost may have begun anew, and be the only one there is.
                    await self._try_to_move(lost if tries % 2 else [])
            except CallRefusedError as error:
                if error.status in {404, 400}:  # the session is over, or cannot move
                    return await self._moved_nowhere(lost)
                pause = max(pause, min(error.retry_after or 0.0, _LONGEST_PAUSE_S))
            except (CallError, TimeoutError):
                pass
            else:
                self.moves.append((began, self.now(), before, self.edge))
                return await self._notify()
            if self._is_back(lost):
                return None
            if self.now() > deadline or not self._lost(lost):  # who is asked to leave is asked again
                return await self._moved_nowhere(lost)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        return None

    def _is_back(self, lost: list[str]) -> bool:
        """Whether an edge that was silent speaks again: it was the path, or a pause."""
        connection = self._connection
        return connection is not None and lost == [connection.edge] and not (connection.silent or connection.over)

    def _lost(self, lost: list[str]) -> list[str]:
        """What is lost by now: an edge that is to be left may die before that."""
        connection = self._connection
        if not lost and connection is not None and (connection.over or connection.silent):
            return [connection.edge]
        return lost

    async def _moved_nowhere(self, lost: list[str]) -> None:
        if lost:
            await self._end(self.journal.end_reason or await self._recorded_reason() or f"{', '.join(lost)} is lost")

    async def _try_to_move(self, lost: list[str]) -> None:
        """Raises CallError, TimeoutError."""
        connection = self._connect()
        try:
            sdp = await connection.offer(self._api.url)
            placed = await self._api.move(
                self.session,
                sdp,
                lost=lost,
                agent=self._agent,
                region=self._asked_region,
                metadata=self._metadata,
                turns=self._turns,
            )
            connection.edge = placed.edge
            await connection.accept(placed.sdp)
            await connection.connected.wait()
        except BaseException:
            await connection.close()
            raise
        old, self._connection = self._connection, connection
        self.edge, self.region, self.worker = placed.edge, placed.region, placed.worker
        self.journal.end_reason = ""  # of the worker that was lost
        for message in connection.room_told.values():
            self.journal.take(message, self.now())
        if old is not None:
            leaving = asyncio.create_task(self._leave(old), name="leave the old edge")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    @staticmethod
    async def _leave(connection: Connection) -> None:
        await asyncio.sleep(_LEAVE_S)
        await connection.close()

    async def _recorded_reason(self) -> str:
        """Why the session ended, from its record: a call that was ended through the API says nothing itself."""
        for _ in range(_RECORD_LOOKS):
            try:
                record = await self._api.session(self.session)
            except CallError:
                return ""
            if record.get("state") == "lost":
                return ""
            if record.get("reason"):
                return str(record["reason"])
            await asyncio.sleep(_RECORD_PAUSE_S)  # the edge is about to write it
        return ""

    async def _on_message(self, connection: Connection, text: str) -> None:
        message = journal.parse(text)
        if message is None:
            return
        kind = message.WhichOneof("message")
        if connection is not self._connection and kind == "session_ended":
            return  # of an edge that was left
        if connection is not self._connection and kind in {"room_members", "room_speakers"}:
            connection.room_told[kind] = message  # of an edge that was left, or that the call is about to be at
            return
        self.journal.take(message, self.now())
        self.edge = self.journal.edge or self.edge
        self.worker = self.journal.worker or self.worker
        if kind == "app":
            self.messages.append(journal.app_data(message))
        elif kind == "session_move":
            self._move([])
        await self._notify()

    async def _end(self, reason: str) -> None:
        if not self._ended.is_set():
            self.end_reason = self.journal.end_reason or reason
            self._ended.set()
        self._connected.set()
        if self._moving is not None and self._moving is not asyncio.current_task():
            self._moving.cancel()
        self.speaking.end(self.end_reason)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
