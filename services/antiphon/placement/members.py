"""What a member's record says of its room."""

from __future__ import annotations

from antiphon.cluster import EdgeRecord, WorkerRecord


def load(member: EdgeRecord | WorkerRecord) -> float:
    """Sessions for each place: 0 is idle, 1 is full. A worker that hears late and has no sessions has no places."""
    return member.sessions / member.capacity if member.capacity else 1.0


def load_in_words(member: EdgeRecord | WorkerRecord) -> str:
    return f"{member.sessions} of {member.capacity} places taken"


def obstacle(member: EdgeRecord | WorkerRecord) -> str:
    """Why it can take no session; empty where it can."""
    if member.draining:
        return "draining"
    if member.sessions < member.capacity:
        return ""
    kind = "edge" if isinstance(member, EdgeRecord) else "worker"
    return f"full: {kind}.capacity is {member.capacity}"
