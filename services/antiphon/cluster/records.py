"""What the cluster remembers, as values. How they are stored is the business of store.py and functions.lua."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

LEASE_S = 5.0
"""A member that has not renewed for this long is gone."""
RENEW_S = 1.0
"""How often members renew, and the longest that a change goes unseen where the push is lost."""
SLOT_S = 15.0
"""A session's slot lasts this long unless its edge holds it; it covers the set-up of a new one."""
RECORD_S = 3600.0
"""An ended session stays readable for this long."""

MOST_TURNS = 200
"""So many of a session's last turns keep their latency traces, for as long as the record."""


@dataclass(frozen=True)
class EdgeRecord:
    """A live edge."""

    id: str
    region: str
    latitude: float
    longitude: float
    control: str
    """host:port of its control service."""
    media: tuple[str, ...]
    """Addresses, as host:port, that callers reach it by over UDP."""
    capacity: int
    sessions: int = 0
    draining: bool = False
    tcp: tuple[str, ...] = ()
    """The same over TCP."""
    steering: str = ""
    """host:port that it takes other edges' packets on; empty where it stands alone."""


@dataclass(frozen=True)
class WorkerRecord:
    """A live worker."""

    id: str
    link: str
    """host:port of its media link."""
    agents: tuple[str, ...]
    capacity: int
    sessions: int = 0
    draining: bool = False


@dataclass(frozen=True)
class Membership:
    """Who is there, each kind ordered by id."""

    edges: tuple[EdgeRecord, ...] = ()
    workers: tuple[WorkerRecord, ...] = ()

    @property
    def ids(self) -> frozenset[str]:
        return frozenset([edge.id for edge in self.edges] + [worker.id for worker in self.workers])

    def edge(self, edge_id: str) -> EdgeRecord | None:
        return next((edge for edge in self.edges if edge.id == edge_id), None)

    def worker(self, worker_id: str) -> WorkerRecord | None:
        return next((worker for worker in self.workers if worker.id == worker_id), None)


@dataclass(frozen=True)
class Claim:
    """A session's place: it holds a slot at both until released, or until the slot expires unheld."""

    session: str
    epoch: int
    """Fencing token: grows with each owner of the session."""
    edge: EdgeRecord
    worker: WorkerRecord
    refused: Mapping[str, str] = field(default_factory=dict)
    """Candidates that were passed over, and why: gone, draining, full, lacks the agent."""


@dataclass(frozen=True)
class RoomRecord:
    """A room that has members. The first of them settled all of it but the sessions."""

    name: str
    edge: str
    worker: str
    """Empty for a room without an agent."""
    agent: str
    region: str
    sessions: tuple[str, ...] = ()
    """Sessions in it, connected or about to be."""


NO_WORKER = WorkerRecord(id="", link="", agents=(), capacity=0)
"""Stands for the worker of a session that needs none."""


@dataclass(frozen=True)
class SessionRecord:
    """A session as the cluster remembers it."""

    id: str
    epoch: int
    state: str
    """claimed (set-up runs), live, ended, or lost (its edge no longer holds it)."""
    region: str = ""
    edge: str = ""
    worker: str = ""
    agent: str = ""
    room: str = ""
    caller: str = ""
    ufrag: str = ""
    """The edge's ICE user name fragment; with the epoch it makes the ETag."""
    caller_ufrag: str = ""
    """The caller's: another one in a PATCH is an ICE restart."""
    created_ms: int = 0
    ended_ms: int | None = None
    restored: bool = False
    """The memory was lost, and the edge told of the session anew: agent, caller and placement are unknown."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    placement: Mapping[str, Any] = field(default_factory=dict)
    """Why this edge and this worker."""
    outcome: Mapping[str, Any] = field(default_factory=dict)
    """What the last owner said at the end: reason, quality, set-up steps."""


_Member = TypeVar("_Member", EdgeRecord, WorkerRecord)
_TUPLES = ("media", "tcp", "agents")
_OBJECTS = ("metadata", "placement", "outcome")


def encode_member(record: EdgeRecord | WorkerRecord) -> str:
    """JSON without the load, so that the text changes only when members should hear of it."""
    values = asdict(record)
    del values["sessions"]
    return json.dumps(values, sort_keys=True)


def decode_member(kind: type[_Member], text: str, sessions: int = 0) -> _Member:
    """Keys of a newer version are passed over."""
    known = {f.name for f in fields(kind)}
    values = {key: value for key, value in json.loads(text).items() if key in known}
    values |= {key: tuple(values[key]) for key in _TUPLES if key in values}
    return kind(**{**values, "sessions": sessions})


def decode_room(text: str) -> RoomRecord:
    """An empty list of Lua's is an object in JSON."""
    values = json.loads(text)
    return RoomRecord(**{**values, "sessions": tuple(values["sessions"] or ())})


def decode_session(text: str) -> SessionRecord:
    """Redis keeps every value as a string."""
    known = {f.name for f in fields(SessionRecord)}
    values: dict[str, Any] = {key: value for key, value in json.loads(text).items() if key in known}
    values |= {key: int(values[key]) for key in ("epoch", "created_ms", "ended_ms") if key in values}
    values |= {key: json.loads(values[key]) for key in _OBJECTS if key in values}
    values["restored"] = values.get("restored") == "1"
    return SessionRecord(**values)
