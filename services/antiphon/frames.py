"""A caller's audio as it travels: Opus packets with their place in the stream, and the places where one is missing."""

from __future__ import annotations

from typing import NamedTuple

CLOCK_RATE = 48_000
"""RTP's clock for Opus (RFC 7587): timestamps, durations and playout amounts count in it."""

SPURT = 1
"""Flag: the packet starts a talk spurt (RTP marker)."""
REPAIR = 2
"""Flag: the packet fills a gap that was announced."""
REDUNDANT = 4
"""Flag: the packet came as redundancy (RFC 2198)."""
TELEPHONE_EVENT = 8
"""Flag: the payload is RFC 4733's four octets of `telephone-event` (DTMF), not Opus."""
FEC = 16
"""Flag: the packet carries in-band FEC of the frame before it, from which a decoder can make that one."""
KEPT = 32
"""Flag: the edge kept the packet for this worker: it came while another one had the session, or none."""

_LEVEL_PRESENT = 0x100
_VOICE = 0x80


class Frame(NamedTuple):
    """One Opus packet."""

    sequence: int
    """Unwrapped RTP sequence number."""
    timestamp: int
    """Unwrapped RTP timestamp at 48 kHz."""
    arrival_us: int
    """When the edge read it, in microseconds of the edge's monotonic clock."""
    duration: int
    """In 48 kHz samples."""
    level: int
    """RFC 6464 as on the link: 0 when absent, else 0x100 | voice << 7 | level in -dBov."""
    flags: int
    """SPURT, REPAIR, REDUNDANT, TELEPHONE_EVENT, FEC, KEPT."""
    payload: bytes
    """The packet."""

    @property
    def level_dbov(self) -> int | None:
        """The caller's own measure of loudness, 0 (loudest) to -127; None when it sends none."""
        return -(self.level & 0x7F) if self.level & _LEVEL_PRESENT else None

    @property
    def voice(self) -> bool:
        """Whether the caller's own detector says that this is voice; only Chromium with DTX says so reliably."""
        return bool(self.level & _VOICE)

    @property
    def repaired(self) -> bool:
        """Whether it fills a gap that was announced: it comes late, out of sequence."""
        return bool(self.flags & REPAIR)

    @property
    def redundant(self) -> bool:
        """Whether it came out of a later packet's redundancy."""
        return bool(self.flags & REDUNDANT)

    @property
    def kept(self) -> bool:
        """Whether it is of the time before this worker took the session over: the one before may have heard it."""
        return bool(self.flags & KEPT)

    @property
    def fec(self) -> bool:
        """Whether the frame before it, if that is lost, can be decoded from this one."""
        return bool(self.flags & FEC)


class VoiceHint(NamedTuple):
    """The edge's own ear: a caller begins to speak, or has stopped, as far as the levels of their frames tell."""

    at_us: int
    """When it was noticed, in microseconds of the edge's monotonic clock."""
    timestamp: int
    """Of the frame that it was noticed by."""
    onset: bool
    level_dbov: int
    held: bool
    """Whether the edge holds playout because of it, and waits for an answer."""


class Gap(NamedTuple):
    """Packets that are missing: announced at once, and told again when they are lost for good.

    What is repaired comes as a frame that says so. The last of a gap can be decoded from the frame behind it, if that
    has FEC.
    """

    first: int
    """Unwrapped sequence number of the first."""
    missing: int
    """How many."""
    lost: bool
    """Whether it is final; else a repair may still come."""
