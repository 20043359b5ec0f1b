"""What agents want to know again where another worker takes their session, in the cluster's memory.

A call goes on without waiting: Redis hears of a checkpoint a moment later, and of many of one session only the last.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from antiphon.errors import StaleEpochError, UnavailableError
from antiphon.telemetry import get_logger
from antiphon.worker import metrics

if TYPE_CHECKING:
    from antiphon.cluster import Cluster

_log = get_logger("worker")
MOST_BYTES = 16 * 1024
_PAUSE_S = 1.0
_ASK_S = 2.0


def encode(state: Any) -> str:  # noqa: ANN401
    """Raises ValueError where it is no JSON value, or longer than MOST_BYTES."""
    try:
        text = json.dumps(state, separators=(",", ":"), allow_nan=False)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"a checkpoint is a JSON value: {error}") from None
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f"a checkpoint of {len(text.encode())} bytes: {MOST_BYTES} are taken at most")
    return text


class Keeper(Protocol):
    """Keeps the last checkpoint of each session, and of each room: that in the name of one of its members."""

    def put(self, session: str, epoch: int, text: str, *, edge: str = "", takeovers: int = 0, room: str = "") -> None:
        """text: JSON. Epoch and edge are the session's owner, who has changed its worker so many times.

        room: whose agent's it is; empty where it is the session's own.
        """
        ...

    async def get(self, session: str, *, room: bool = False) -> Any:  # noqa: ANN401
        """None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A checkpoint that Redis has not heard of yet."""

    session: str
    epoch: int
    text: str
    edge: str
    takeovers: int
    room: bool


class Checkpoints:
    """`put` may be called from the event loop at any time; `keep` writes until it is cancelled."""

    def __init__(self) -> None:
        self._cluster: Cluster | None = None
        self._waiting: dict[str, _Waiting] = {}
        self._wake = asyncio.Event()

    def put(self, session: str, epoch: int, text: str, *, edge: str = "", takeovers: int = 0, room: str = "") -> None:
        whose = f"room {room}" if room else session
        self._waiting[whose] = _Waiting(session, epoch, text, edge, takeovers, bool(room))
        self._wake.set()

    async def get(self, session: str, *, room: bool = False) -> Any:  # noqa: ANN401
        """The last checkpoint of a session, or of its room.

        None where there is none, or where the memory does not answer in time.
        """
        if self._cluster is None:
            return None
        try:
            async with asyncio.timeout(_ASK_S):
                text = await self._cluster.session(session).checkpoint(room=room)
        except (UnavailableError, TimeoutError) as error:
            metrics.CHECKPOINTS.labels("unread").inc()
            _log.warning("checkpoint not read; the agent begins anew", session=session, error=str(error))
            return None
        return None if text is None else json.loads(text)

    async def keep(self, cluster: Cluster) -> None:
        """Tells the cluster's memory."""
        self._cluster = cluster
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                whose = next(iter(self._waiting))
                last = self._waiting.pop(whose)
                try:
                    await cluster.session(last.session).note_checkpoint(
                        last.epoch,
                        last.text,
                        edge=last.edge,
                        takeovers=last.takeovers,
                        room=last.room,
                    )
                except StaleEpochError:  # another worker has the session
                    metrics.CHECKPOINTS.labels("stale").inc()
                except UnavailableError:
                    # unless there is a newer one by now
                    self._waiting.setdefault(whose, last)
                    await asyncio.sleep(_PAUSE_S)
                else:
                    metrics.CHECKPOINTS.labels("written").inc()
