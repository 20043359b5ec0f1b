"""The cluster's memory: who is there, who owns which session. One Redis (or Valkey) holds it."""

from antiphon.cluster.records import Claim, EdgeRecord, Membership, SessionRecord, WorkerRecord
from antiphon.cluster.store import Cluster

__all__ = ["Claim", "Cluster", "EdgeRecord", "Membership", "SessionRecord", "WorkerRecord"]
