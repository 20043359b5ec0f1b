"""Documents of placement: regions with their probes, and why a caller would be placed where."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema

from antiphon.signaling.models import PLACEMENT, Agent, Next, RegionName, RoomName, RoundTrips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiphon.cluster import EdgeRecord

_MOST_PROBES = 3
"""Listed for each region: a client needs one, and another where that is away."""


_ADDRESS: Any = {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))  # its ValueError says what is wrong


class Probe(BaseModel):
    """Where one edge answers."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    http: str
    """GET it twice on one connection: the second answer comes after one round trip. Empty where there is none."""
    stun: str
    """`stun:` URL (RFC 7064): a Binding request (RFC 8489) of 44 octets or more is answered in full. Empty for none."""


class RegionDocument(BaseModel):
    """A region that has an edge."""

    model_config = ConfigDict(
        title="Region",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "name": "frankfurt",
                    "latitude": 50.11,
                    "longitude": 8.68,
                    "edges": 2,
                    "capacity": 1000,
                    "sessions": 3,
                    "probes": [{"http": "https://fra.example.com/probe", "stun": "stun:192.0.2.1:4000"}],
                }
            ]
        },
    )

    name: str
    latitude: float
    longitude: float
    edges: int
    """Of those that take sessions."""
    capacity: int
    sessions: int
    probes: list[Probe]
    """Addresses to measure the round trip to this region with; empty where its edges answer no probes."""

    @classmethod
    def of(cls, name: str, edges: Sequence[EdgeRecord]) -> RegionDocument:
        """edges: at least one."""
        taking = [edge for edge in edges if not edge.draining]
        probing = [edge for edge in taking if edge.probe_url or edge.probe_stun]
        probing.sort(key=lambda edge: not edge.probe_url)
        return cls(
            name=name,
            latitude=edges[0].latitude,
            longitude=edges[0].longitude,
            edges=len(taking),
            capacity=sum(edge.capacity for edge in taking),
            sessions=sum(edge.sessions for edge in taking),
            probes=[
                Probe(http=edge.probe_url, stun=edge.probe_stun and f"stun:{edge.probe_stun}")
                for edge in probing[:_MOST_PROBES]
            ],
        )


class RegionList(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    regions: list[RegionDocument]
    next: Next = None
    regions_away: list[str] = []
    """Regions whose own Redis does not answer, `all` for that of the others: their edges take no new calls."""


class ExplainPlacement(BaseModel):
    """A caller to explain the placement of. All of it may be left out: then it is about who asks."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"ip": "81.2.69.160", "agent": "parrot", "rtts": {"frankfurt": 8.4}}]},
    )

    ip: Annotated[str, AfterValidator(_address), WithJsonSchema(_ADDRESS)] | None = None
    """The caller's address; that of this request when not said."""
    agent: Agent | None = None
    """As in a call: `parrot` when not said, or in a room the room's."""
    room: RoomName | None = None
    region: RegionName | None = None
    rtts: RoundTrips = {}


class PlacementExplained(BaseModel):
    """Where a session would go at this moment; nothing is claimed."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {"edge": "edge-frankfurt", "region": "frankfurt", "worker": "worker-0", "placement": PLACEMENT}
            ]
        },
    )

    edge: str | None
    """None where no edge could take it."""
    region: str | None
    worker: str | None
    """None where no worker could take it, or none is asked for."""
    placement: dict[str, Any]
    """As in a session, with every candidate."""
