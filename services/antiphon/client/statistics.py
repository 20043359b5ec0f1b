"""How a call went, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from antiphon.client.hearing import Hearing


@dataclass(frozen=True)
class Statistics:
    """Durations in milliseconds; `None` where nothing is known yet."""

    setup_ms: dict[str, float] = field(default_factory=dict)
    """Since the call began: http (answer here), ice, dtls, data_channel, first_frame (first packet heard)."""
    rtt_ms: float | None = None
    packets_sent: int = 0
    packets_received: int = 0
    lost: int = 0
    """Packets of the agent's that never came."""
    lost_upstream: int = 0
    """Packets of ours that the edge missed, as it reports."""
    jitter_ms: float | None = None
    duplicates: int = 0

    @property
    def loss_percent(self) -> float:
        expected = self.packets_received + self.lost
        return 100.0 * self.lost / expected if expected else 0.0


def summarize(reports: Iterable[Any], setup_ms: dict[str, float], hearing: Hearing) -> Statistics:
    """Reads aiortc's report, which is a little different from the W3C's: jitter is in RTP units."""
    by_type = {report.type: report for report in reports}
    outbound, inbound = by_type.get("outbound-rtp"), by_type.get("inbound-rtp")
    remote = by_type.get("remote-inbound-rtp")
    rtt = getattr(remote, "roundTripTime", None)
    return Statistics(
        setup_ms=dict(setup_ms),
        rtt_ms=rtt * 1000 if rtt is not None else None,
        packets_sent=outbound.packetsSent if outbound else 0,
        packets_received=inbound.packetsReceived if inbound else 0,
        lost=max(0, inbound.packetsLost) if inbound else 0,
        lost_upstream=max(0, remote.packetsLost) if remote else 0,
        jitter_ms=inbound.jitter / 48 if inbound else None,
        duplicates=hearing.duplicates,
    )
