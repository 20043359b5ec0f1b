"""Media planes for tests: one without media, to see what the edge's Python does with it, and a real one on its own."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from antiphon.edge._media import MediaPlane, OfferRejected

QUALITY = {"lost": 2.0, "rtt_ms": 12.5, "drift_ppm": -40.0}


def plane_alone(edge: str = "edge-a", capacity: int = 1, stun_probe: str = "padded") -> MediaPlane:
    """A real one, of an edge that nobody knows of: one shard on loopback, UDP alone."""
    return MediaPlane(
        edge=edge,
        region="local",
        secret=bytes(16),
        hosts=["127.0.0.1"],
        port=0,
        tcp_port=None,
        advertise=[],
        steering=None,
        shards=1,
        capacity=capacity,
        stun_probe=stun_probe,
    )


class FakePlane:
    """Has the surface of antiphon.edge._media.MediaPlane; what happens is decided by the test."""

    def __init__(self) -> None:
        self.port = 4000
        self.candidates = [("udp", "127.0.0.1", 4000), ("udp", "::1", 4000), ("tcp", "127.0.0.1", 4000)]
        self.steering_port: int | None = None
        self.edges: dict[str, str] = {}
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.live: dict[str, int] = {}
        self.refuse: Exception | None = None
        self.up: set[str] = set()
        self.targets: dict[str, str] = {}
        self.opened: list[dict[str, Any]] = []
        self.closed = False
        self.in_rooms: list[dict[str, Any]] = []
        self.changes: list[dict[str, Any]] = []
        self.asked_to_move: list[str] = []
        self.taken_over: list[dict[str, Any]] = []
        self.refuse_takeover: dict[str, Exception] = {}
        """By worker."""
        self.link_tls: dict[str, Any] = {}
        self.link_secret = b""
        self._events: list[tuple[str, str, dict[str, object]]] = []

    def happen(self, kind: str, subject: str, **details: object) -> None:
        self._events.append((kind, subject, details))
        os.eventfd_write(self.event_fd, 1)

    def take_events(self) -> list[tuple[str, str, dict[str, object]]]:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.event_fd)
        events, self._events = self._events, []
        return events

    def set_edges(self, edges: dict[str, str]) -> list[str]:
        self.edges = edges
        return []

    def open_session(self, session: str, *, epoch: int, offer: str, **others: Any) -> tuple[str, str]:
        if self.refuse is not None:
            raise self.refuse
        if "v=0" not in offer:
            raise OfferRejected("expected v=0", 1)
        self.live[session] = epoch
        self.opened.append({"session": session, "epoch": epoch, **others})
        return "v=0 answer", "ufrag"

    def set_link_tls(self, **shown: Any) -> None:
        self.link_tls = shown

    def set_link_secret(self, secret: bytes) -> None:
        self.link_secret = secret

    def restart_ice(self, session: str, *, epoch: int, sdpfrag: str) -> tuple[str, str]:
        if epoch < self.live[session]:
            raise PermissionError("a newer owner has it")
        self.live[session] = epoch
        return f"answer to {sdpfrag}", "ufrag2"

    def close_session(self, session: str, *, epoch: int, reason: str) -> bool:
        if session not in self.live:
            return False
        if epoch < self.live.pop(session):
            raise PermissionError("a newer owner has it")
        self.happen("session_closed", session, reason=reason, setup_us={"dtls": 120_000}, quality=QUALITY)
        return True

    def ask_to_move(self, session: str, *, epoch: int) -> bool:
        if session in self.live and epoch < self.live[session]:
            raise PermissionError("a newer owner has it")
        self.asked_to_move.append(session)
        return session in self.live

    def take_over(self, session: str, *, epoch: int, worker: str, **others: Any) -> bool:
        if worker in self.refuse_takeover:
            raise self.refuse_takeover[worker]
        self.taken_over.append({"session": session, "epoch": epoch, "worker": worker, **others})
        return session in self.live

    def session_stats(self, session: str) -> dict[str, object] | None:
        if session not in self.live:
            return None
        return {
            "state": "connected",
            "setup_us": {"dtls": 120_000},
            "quality": {"rtt_ms": 12.5},
            "remote": "192.0.2.7:4444",
            "security": "DTLS 1.2",
        }

    def rooms(self) -> list[dict[str, Any]]:
        return self.in_rooms

    def change_member(self, session: str, *, epoch: int, **change: Any) -> bool:
        self.changes.append({"session": session, "epoch": epoch, **change})
        return any(member["session"] == session for room in self.in_rooms for member in room["members"])

    def sessions(self) -> list[str]:
        return list(self.live)

    def connect_worker(self, worker: str, target: str) -> None:
        self.targets[worker] = target
        self.up.add(worker)
        self.happen("link_up", worker)

    def disconnect_worker(self, worker: str) -> None:
        del self.targets[worker]
        self.up.discard(worker)

    def workers(self) -> dict[str, dict[str, object]]:
        return {
            worker: {"connected": worker in self.up, "rtt_ms": 1.5, "sessions": len(self.live), "target": target}
            for worker, target in self.targets.items()
        }

    def tables(self) -> dict[str, int]:
        return {"sessions": 0, "flows": 0}

    def counters(self) -> dict[str, int]:
        return {"packets_in": 17, "dropped_replay": 1}

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.live.clear()
