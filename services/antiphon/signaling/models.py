"""The API's documents, for checking what comes in and for OpenAPI, with examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from antiphon.ids import room_name
from antiphon.spans import trace_id
from antiphon.turns import Eagerness, Interruptions, Mode  # noqa: TC001 - pydantic reads them

if TYPE_CHECKING:
    from antiphon.cluster import Drain, EdgeRecord, SessionRecord, WorkerRecord
    from antiphon.signaling.placing import Placed
    from antiphon.wire.control.v1 import edge_pb2

DEFAULT_AGENT = "parrot"
OFFER = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n..."
ANSWER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n..."
FRAGMENT_PATTERN = r"(^|\n)a=(candidate:|end-of-candidates|ice-ufrag:[A-Za-z0-9+/]{4,256}\r?\n)"
"""Candidates, or credentials: without either there is nothing to do."""
FRAGMENT = "a=ice-ufrag:x9Qf\r\na=ice-pwd:mCoZhVBg0bPUgRmDaPGqkf2I\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
SESSION_ID = "ses_frankfurt_3k9v0c7w1h5t2n8qzx4d"
PLACEMENT: Any = {
    "caller": "round trips to 2 regions measured by the caller; GeoIP says Mainz, DE",
    "evidence": {
        "address": "81.2.69.160",
        "networks": ["81.2.69.0/24", "AS20712"],
        "place": {"latitude": 50.0, "longitude": 8.27},
        "asked": None,
        "measured": {"frankfurt": 8.4, "virginia": 92.1},
        "learned": {},
    },
    "edges": [
        {
            "id": "edge-frankfurt",
            "region": "frankfurt",
            "latitude": 50.11,
            "longitude": 8.68,
            "chosen": True,
            "possible": True,
            "rank": 1,
            "cost_ms": 9.9,
            "why": "8.4 ms measured by the caller; 1.5 ms to worker-0; 3 of 500 places taken",
            "terms": [
                {"policy": "caller_rtt", "ms": 8.4, "why": "8.4 ms measured by the caller"},
                {"policy": "worker_rtt", "ms": 1.5, "why": "1.5 ms to worker-0"},
                {"policy": "load", "ms": 0.0, "why": "3 of 500 places taken"},
            ],
        },
    ],
    "workers": [
        {
            "id": "worker-0",
            "chosen": True,
            "possible": True,
            "rank": 1,
            "cost_ms": 1.5,
            "why": "3 of 200 places taken, 1.5 ms from the edge",
        }
    ],
    "left_out": 0,
    "signaling_ms": {"membership": 0.6, "claim": 0.5, "edge": 2.9},
}

Agent = Annotated[str, Field(min_length=1, max_length=64)]
RegionName = Annotated[str, Field(min_length=1, max_length=32)]
RoomName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
RoundTrips = Annotated[
    dict[RegionName, Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]], Field(max_length=64)
]


class TurnWishes(BaseModel):
    """How the agent shall take turns with this caller; its own code may change that in mid-call."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    eagerness: Eagerness | None = None
    """How soon it takes the floor: low, medium, high, or auto, which adapts most to the caller's own pauses."""
    mode: Mode | None = None
    """automatic, or manual: only commands and the caller's talk button end turns."""
    interruptions: Interruptions | None = None
    """What of the caller's may cut what it says: speech, only words that were recognised, or never."""


class CreateSession(BaseModel):
    """A caller's offer and wishes."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [{"sdp": OFFER, "agent": "parrot", "region": "frankfurt", "metadata": {"customer": "42"}}]
        },
    )

    sdp: str = Field(min_length=1)
    """The SDP offer. It may lack candidates: edges are ICE-lite."""
    agent: Agent | None = None
    """Who shall talk; when not said `parrot`, or in a room the room's agent, which may be none."""
    room: RoomName | None = None
    """The room to join: its members hear each other. It lives on the edge of its first member."""
    region: RegionName | None = None
    """Where the session shall live, if there is room."""
    rtts: RoundTrips = {}
    """Round trips in milliseconds by region, as measured with the probes that /v1/regions lists."""
    metadata: dict[str, Any] = {}
    """Any JSON object, for the agent."""
    turns: TurnWishes = TurnWishes()
    """How the agent shall take turns; what is not said is as the agent has it."""
    recording: bool = False
    """Whether the session is recorded, of which the caller is told. The operator and a session token must allow it."""


MemberName = Annotated[str, Field(min_length=1, max_length=32)]


class MoveSession(BaseModel):
    """A new offer for a session that comes to another edge."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"sdp": OFFER, "lost": ["edge-frankfurt"]}]},
    )

    sdp: str = Field(min_length=1)
    """The SDP offer of a new connection, beside the old one."""
    lost: list[MemberName] = Field(default=[], max_length=8)
    """Edges and workers that the caller has lost, or was told are lost: they are not taken again."""
    region: RegionName | None = None
    """Where the session shall live, if there is room."""
    agent: Agent | None = None
    """Who talks: only asked for where the session's record was lost."""
    metadata: dict[str, Any] = {}
    """The same of the metadata."""
    turns: TurnWishes = TurnWishes()
    """How the agent shall take turns, where another worker takes the session."""


class _Document(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class SessionCreated(_Document):
    """Where a new session lives, why there, and the edge's answer."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "id": SESSION_ID,
                    "sdp": ANSWER,
                    "agent": "parrot",
                    "edge": "edge-frankfurt",
                    "region": "frankfurt",
                    "worker": "worker-0",
                    "epoch": 1795476911983,
                    "placement": PLACEMENT,
                }
            ]
        },
    )

    id: str
    sdp: str
    """The SDP answer."""
    agent: str
    edge: str
    region: str
    worker: str
    room: str | None = None
    epoch: int
    """Grows with each owner of the session."""
    placement: dict[str, Any]
    """What was known of the caller, and the best candidates with their costs in milliseconds and reasons."""

    @classmethod
    def of(cls, placed: Placed) -> SessionCreated:
        return cls(
            id=placed.id,
            sdp=placed.answer,
            agent=placed.agent,
            edge=placed.edge,
            region=placed.region,
            worker=placed.worker,
            room=placed.room or None,
            epoch=placed.epoch,
            placement=dict(placed.placement),
        )


class Session(_Document):
    """A session as the cluster remembers it and, while it lives, as its edge sees it."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "id": SESSION_ID,
                    "state": "connected",
                    "agent": "parrot",
                    "edge": "edge-frankfurt",
                    "region": "frankfurt",
                    "worker": "worker-0",
                    "caller": "127.0.0.1",
                    "epoch": 1795476911983,
                    "created_ms": 1795476911983,
                    "ended_ms": None,
                    "reason": None,
                    "metadata": {},
                    "placement": PLACEMENT,
                    "setup_us": {"first_check": 5210, "nominated": 5400, "dtls": 31000, "first_packet": 52000},
                    "quality": {
                        "expected": 513,
                        "lost": 1,
                        "repaired_red": 1,
                        "loss_after_repair_ratio": 0.0,
                        "jitter_ms": 1.4,
                    },
                    "remote": "127.0.0.1:51234",
                    "security": "DTLS1.3 AEAD_AES_128_GCM",
                    "trace_id": "0af7651916cd43dd8448eb211c80319c",
                }
            ]
        },
    )

    id: str
    state: str
    """claimed (set-up runs), new, connecting, connected, live (its edge does not answer just now), ended, lost."""
    agent: str
    edge: str
    region: str
    worker: str
    room: str | None = None
    caller: str
    epoch: int
    created_ms: int
    """Milliseconds since 1970, by Redis's clock."""
    ended_ms: int | None = None
    reason: str | None = None
    """Why it ended: bye, hangup, api, consent, dtls, error, worker, drain, moved, timeout, setup_failed or
    edge_restarted."""
    subject: str | None = None
    """Whom the session token stood for that it was made with; none where that was an API key."""
    metadata: dict[str, Any] = {}
    placement: dict[str, Any] = {}
    """What was known of the caller, and the best candidates with their costs in milliseconds and reasons."""
    setup_us: dict[str, int] = {}
    """Steps of the set-up at the edge, in microseconds since the offer."""
    quality: dict[str, float] = {}
    """Packets, losses, round trip and more, as the edge counts them."""
    remote: str | None = None
    """The address that the caller's media comes from."""
    security: str | None = None
    """DTLS version and SRTP profile."""
    trace_id: str | None = None
    """Of its trace in OpenTelemetry; none where it is not recorded."""

    @classmethod
    def of(cls, record: SessionRecord, live: edge_pb2.GetSessionResponse | None = None) -> Session:
        """The edge's word, where there is one, counts more than the record."""
        outcome = record.outcome
        setup_us, quality = outcome.get("setup_us") or {}, outcome.get("quality") or {}
        return cls(
            id=record.id,
            state=live.state if live else record.state,
            agent=record.agent,
            edge=record.edge,
            region=record.region,
            worker=record.worker,
            room=room_name(record.room) or None,
            caller=record.caller,
            epoch=record.epoch,
            created_ms=record.created_ms,
            ended_ms=record.ended_ms,
            reason=outcome.get("reason"),
            subject=record.owner or None,
            metadata=dict(record.metadata),
            placement=dict(record.placement),
            setup_us=dict(live.setup_us) if live else setup_us,
            quality=dict(live.quality) if live else quality,
            remote=live.remote or None if live else None,
            security=live.security or None if live else None,
            trace_id=trace_id(record.trace) or None,
        )


Next = Annotated[
    str | None, Field(description="The cursor of the next page; null where this is the last.", examples=[None])
]


class SessionList(_Document):
    sessions: list[Session]
    """The newest first."""
    next: Next = None
    regions_away: list[str] = []
    """Regions whose own Redis does not answer, `all` for that of the others: what was begun there is not here."""


class DrainDocument(_Document):
    """A member that lets its sessions go."""

    since_ms: int
    """When it was ordered, in milliseconds since 1970, by Redis's clock."""
    until_ms: int
    """When the sessions that are left will be ended."""
    sessions_before: int
    """Sessions that it had when it was ordered; `sessions` of the member are those that are left."""

    @classmethod
    def of(cls, drain: Drain | None) -> DrainDocument | None:
        if drain is None:
            return None
        return cls(since_ms=drain.since_ms, until_ms=drain.until_ms, sessions_before=drain.sessions)


_NO_DRAIN: Any = {"draining": False, "drain": None}


class Edge(_Document):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "edge-frankfurt",
                    "region": "frankfurt",
                    "latitude": 50.11,
                    "longitude": 8.68,
                    "media": ["192.0.2.1:4000", "[2001:db8::1]:4000"],
                    "tcp": ["192.0.2.1:4000", "[2001:db8::1]:4000"],
                    "capacity": 500,
                    "sessions": 3,
                    **_NO_DRAIN,
                }
            ]
        }
    )

    id: str
    region: str
    latitude: float
    longitude: float
    media: list[str]
    """Addresses that callers reach it by over UDP, best first."""
    tcp: list[str]
    """The same over TCP, for callers that UDP is blocked for."""
    capacity: int
    sessions: int
    draining: bool
    """Whether it takes no new sessions."""
    drain: DrainDocument | None = None

    @classmethod
    def of(cls, record: EdgeRecord) -> Edge:
        return cls(
            id=record.id,
            region=record.region,
            latitude=record.latitude,
            longitude=record.longitude,
            media=list(record.media),
            tcp=list(record.tcp),
            capacity=record.capacity,
            sessions=record.sessions,
            draining=record.draining,
            drain=DrainDocument.of(record.drain),
        )


class EdgeList(_Document):
    edges: list[Edge]
    next: Next = None


class WorkerDocument(_Document):
    model_config = ConfigDict(
        title="Worker",
        json_schema_extra={
            "examples": [{"id": "worker-0", "agents": ["echo", "parrot"], "capacity": 200, "sessions": 3, **_NO_DRAIN}]
        },
    )

    id: str
    agents: list[str]
    capacity: int
    sessions: int
    draining: bool
    """Whether it takes no new sessions."""
    drain: DrainDocument | None = None

    @classmethod
    def of(cls, record: WorkerRecord) -> WorkerDocument:
        return cls(
            id=record.id,
            agents=list(record.agents),
            capacity=record.capacity,
            sessions=record.sessions,
            draining=record.draining,
            drain=DrainDocument.of(record.drain),
        )


class WorkerList(_Document):
    workers: list[WorkerDocument]
    next: Next = None


class AgentDocument(_Document):
    model_config = ConfigDict(
        title="Agent",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [{"name": "parrot", "workers": ["worker-0"], "capacity": 200, "sessions": 3, "default": True}]
        },
    )

    name: str
    workers: list[str]
    capacity: int
    """Sessions that all its workers can take; they share it with their other agents."""
    sessions: int
    """Sessions that its workers have, of any agent."""
    default: bool
    """Whether callers get it who ask for none."""


class AgentList(_Document):
    agents: list[AgentDocument]
    next: Next = None


class ProblemDocument(_Document):
    """RFC 9457."""

    model_config = ConfigDict(
        title="Problem",
        extra="allow",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:antiphon:problem:bad_offer",
                    "title": "Bad offer",
                    "status": 400,
                    "detail": "line 7: a=fingerprint is missing",
                    "code": "bad_offer",
                    "line": 7,
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str
    """For people: what happened, what was expected."""
    code: str
    """For programs."""
