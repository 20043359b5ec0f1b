"""What a call tells its recording, in order.

All moments are the event loop's own, at which word came: how an edge's clock relates to it is known too roughly where a
machine is busy, and what both tracks are late by, for the link between, is the same.
"""

from __future__ import annotations

from typing import NamedTuple


class Received(NamedTuple):
    """A frame of the caller."""

    timestamp: int
    """On the session's time line, 48 kHz."""
    duration: int
    payload: bytes
    arrival_s: float | None
    """None where it says nothing of the time line: a repair."""


class Queued(NamedTuple):
    """A packet of an utterance was handed to the edge, where it waits for its time."""

    utterance: int
    end: int
    """Where it ends in the utterance, 48 kHz."""
    duration: int
    payload: bytes


class Forwarded(NamedTuple):
    """A packet left at once, outside any utterance."""

    now_s: float
    duration: int
    payload: bytes


class Forwarding(NamedTuple):
    """How long what is forwarded takes from the edge to the caller's ear."""

    to_the_ear_s: float


class Reported(NamedTuple):
    """The edge told how far an utterance is; amounts in 48 kHz samples of the utterance."""

    now_s: float
    utterance: int
    sent: int
    heard: int
    paused: bool
    """Whether it is held, or nothing is left to play."""
    base: int
    """Where this edge took it up."""
    began_us: int
    """When its first frame left this edge, on the edge's clock: tells one edge's stretch from another's."""
    to_the_ear_s: float
    """From leaving the edge to the caller's ear; 0 where that is not known."""


class Settled(NamedTuple):
    """No more of an utterance will be heard than this."""

    now_s: float
    utterance: int
    heard: int


Event = Received | Queued | Forwarded | Forwarding | Reported | Settled
