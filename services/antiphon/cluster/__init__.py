"""The cluster's memory: who is there, who owns which session. One Redis (or Valkey) holds it."""

from antiphon.cluster.records import NO_WORKER, Claim, EdgeRecord, Membership, RoomRecord, SessionRecord, WorkerRecord
from antiphon.cluster.store import Cluster

__all__ = [
    "NO_WORKER",
    "Claim",
    "Cluster",
    "EdgeRecord",
    "Membership",
    "RoomRecord",
    "SessionRecord",
    "WorkerRecord",
]
