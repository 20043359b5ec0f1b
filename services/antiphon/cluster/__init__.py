"""The cluster's memory: who is there, who owns which session. Redis or Valkey holds it: one, or one a region."""

from antiphon.cluster.draining import Draining, serve_until_drained
from antiphon.cluster.event_groups import EventGroup
from antiphon.cluster.events import Event
from antiphon.cluster.functions import COMMON
from antiphon.cluster.inspection import RedisFacts, inspect_redis
from antiphon.cluster.records import (
    NO_WORKER,
    Claim,
    Drain,
    EdgeRecord,
    LiveCall,
    Membership,
    RoomRecord,
    RoundTrip,
    SessionPage,
    SessionRecord,
    WorkerRecord,
)
from antiphon.cluster.store import Cluster

__all__ = [
    "COMMON",
    "NO_WORKER",
    "Claim",
    "Cluster",
    "Drain",
    "Draining",
    "EdgeRecord",
    "Event",
    "EventGroup",
    "LiveCall",
    "Membership",
    "RedisFacts",
    "RoomRecord",
    "RoundTrip",
    "SessionPage",
    "SessionRecord",
    "WorkerRecord",
    "inspect_redis",
    "serve_until_drained",
]
