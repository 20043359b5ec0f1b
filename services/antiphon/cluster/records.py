"""What the cluster remembers, as values. How they are stored is the business of store.py and lua/."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LEASE_S = 5.0
"""A member that has not renewed for this long is gone."""
RENEW_S = 1.0
"""How often members renew, and the longest that a change goes unseen where the push is lost."""
SLOT_S = 15.0
"""A session's slot lasts this long unless its edge holds it; it covers the set-up of a new one."""
MOVE_S = 15.0
"""A session that moves may be at its old edge for this long beside its new one."""
RECORD_S = 3600.0
"""An ended session stays readable for this long."""

ROOM_SETTLES_S = 5.0
"""Who said where a room shall be has begun it there within this, or has failed."""
ROOM_PLACE_S = 24 * 3600.0
"""Where a room is stays known for this long after the last one joined."""

ASKED_S = 15.0
"""A session that is asked to come to an edge has so long to do it."""

MOST_TURNS = 200
"""So many of a session's last turns keep their latency traces, for as long as the record."""


@dataclass(frozen=True)
class Drain:
    """An order to take no new sessions, and to let those that there are end until a deadline. Redis's clock."""

    since_ms: int
    until_ms: int
    sessions: int
    """Sessions that it had when it was ordered."""


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
    drain: Drain | None = None
    probe_url: str = ""
    """Where clients measure the round trip over HTTP; empty where it answers no probes."""
    probe_stun: str = ""
    """address:port that answers STUN Binding requests; empty where none does."""
    links: Mapping[str, float] = field(default_factory=dict)
    """Round trips to workers in ms by id, as its links measure them."""


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
    drain: Drain | None = None
    projects: tuple[str, ...] = ()
    """Whose sessions it takes; empty for everybody's."""

    def serves(self, project: str) -> bool:
        return not self.projects or project in self.projects


@dataclass(frozen=True)
class RoundTrip:
    """What calls of a network had to a region."""

    ms: float
    weight: float
    """So many calls' worth, of which older ones count less."""
    network: str


@dataclass(frozen=True)
class Membership:
    """Who is there, each kind ordered by id."""

    edges: tuple[EdgeRecord, ...] = ()
    workers: tuple[WorkerRecord, ...] = ()

    @classmethod
    def union(cls, several: Iterable[Membership]) -> Membership:
        """Of a worker that is in some of them, what most sessions are told of, and that it drains where one says so."""
        edges: dict[str, EdgeRecord] = {}
        workers: dict[str, WorkerRecord] = {}
        for one in several:
            edges |= {edge.id: edge for edge in one.edges}
            for worker in one.workers:
                known = workers.get(worker.id, worker)
                workers[worker.id] = replace(
                    known,
                    sessions=max(known.sessions, worker.sessions),
                    draining=known.draining or worker.draining,
                    drain=known.drain or worker.drain,
                )
        return cls(tuple(edges[key] for key in sorted(edges)), tuple(workers[key] for key in sorted(workers)))

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
    written: bool = True
    """Whether Redis knows of it."""


@dataclass(frozen=True)
class Reserved:
    """A slot at an edge for a session that another cell has the record of."""

    edge: str
    record: str
    """The edge's, as it signed it."""
    refused: Mapping[str, str]
    newest_epoch: int
    """Of those that the edge's cell knows of."""


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
    project: str = ""
    """Empty where the memory was lost: then nobody knows whose it is."""
    owner: str = ""
    """Whom the session token stood for that it was made with; empty where that was an API key."""
    ufrag: str = ""
    """The edge's ICE user name fragment; with the epoch it makes the ETag."""
    caller_ufrag: str = ""
    """The caller's: another one in a PATCH is an ICE restart."""
    created_ms: int = 0
    ended_ms: int | None = None
    restored: bool = False
    """The memory was lost, and the edge told of the session anew: agent, caller and placement are unknown."""
    recording: bool = False
    """Whether it was made to be recorded."""
    recorded: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What became of its recording, by part: worker, where, state, reason."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    placement: Mapping[str, Any] = field(default_factory=dict)
    """Why this edge and this worker."""
    move_to: str = ""
    """The edge that it is asked to come to at this moment."""
    trace: str = ""
    """The `traceparent` of the request that it was made by; empty where that is not recorded."""
    outcome: Mapping[str, Any] = field(default_factory=dict)
    """What the last owner said at the end: reason, quality, set-up steps."""


@dataclass(frozen=True)
class LiveCall:
    """What rebalancing wants to know of a live session. Times are Redis's."""

    id: str
    epoch: int
    edge: str
    worker: str
    agent: str
    project: str
    room: str
    networks: tuple[str, ...]
    evidence: Mapping[str, Any]
    """place (degrees north and east), measured (ms by region), asked (region): what it was placed by; may be empty."""
    movable: bool
    """Whether its client is one that moves."""
    since_ms: int
    """When it came to its edge."""
    asked_ms: int
    """When it was asked to move last; 0 for never."""
    move_to: str = ""
    """The edge that it is asked to come to at this moment."""
    leaving: str = ""
    """The edge that it may still be at besides."""


@dataclass(frozen=True)
class SessionPage:
    """Some of a project's sessions, the newest first."""

    records: tuple[SessionRecord, ...]
    next: str
    """To ask for the page after this one with; empty where this is the last."""
    away: tuple[str, ...] = ()
    """Regions whose Redis did not answer: theirs are not here."""


_Member = TypeVar("_Member", EdgeRecord, WorkerRecord)
_TUPLES = ("media", "tcp", "agents", "projects")
_OBJECTS = ("metadata", "placement", "outcome", "recorded")


def encode_member(record: EdgeRecord | WorkerRecord) -> str:
    """JSON without load and links, so that the text changes only when members should hear of it."""
    values = asdict(record)
    del values["sessions"]
    values.pop("links", None)
    return json.dumps(values, sort_keys=True)


def decode_member(
    kind: type[_Member], text: str, sessions: int = 0, drain: str = "", links: str | None = None
) -> _Member:
    """Keys of a newer version are passed over. `drain` is the cluster's order, which the member may not know yet."""
    known = {f.name for f in fields(kind)}
    values = {key: value for key, value in json.loads(text).items() if key in known}
    values |= {key: tuple(values[key]) for key in _TUPLES if key in values}
    values |= {"links": json.loads(links)} if links and "links" in known else {}
    own = values.get("drain")
    order = decode_drain(drain) or (Drain(**own) if own else None)
    draining = bool(values.get("draining")) or order is not None
    return kind(**{**values, "sessions": sessions, "draining": draining, "drain": order})


def decode_drain(text: str) -> Drain | None:
    """None for an empty text."""
    return Drain(**{key: int(value) for key, value in json.loads(text).items()}) if text else None


def decode_room(text: str) -> RoomRecord:
    """An empty list of Lua's is an object in JSON."""
    values = json.loads(text)
    return RoomRecord(**{**values, "sessions": tuple(values["sessions"] or ())})


def decode_live_call(text: str) -> LiveCall:
    values = json.loads(text)
    return LiveCall(
        **{name: values[name] for name in ("id", "edge", "worker", "agent", "project", "room")},
        epoch=int(values["epoch"]),
        networks=tuple(values["networks"].split()),
        evidence=json.loads(values["evidence"] or "{}"),
        movable=values["movable"] == "1",
        since_ms=int(values["moved_ms"] or values["created_ms"] or 0),
        asked_ms=int(values["asked_ms"] or 0),
        move_to=values["move_to"],
        leaving=values["leaving_edge"],
    )


def decode_session(text: str) -> SessionRecord:
    """Redis keeps every value as a string."""
    known = {f.name for f in fields(SessionRecord)}
    values: dict[str, Any] = {key: value for key, value in json.loads(text).items() if key in known}
    values |= {key: int(values[key]) for key in ("epoch", "created_ms", "ended_ms") if key in values}
    values |= {key: json.loads(values[key]) for key in _OBJECTS if key in values}
    values |= {key: values.get(key) == "1" for key in ("restored", "recording")}
    return SessionRecord(**values)
