"""The API's documents about rooms, with examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema  # noqa: TC002 - pydantic reads it

from antiphon.ids import room_name
from antiphon.signaling.models import Next  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from antiphon.cluster import RoomRecord
    from antiphon.wire.control.v1 import edge_pb2

_ONE, _OTHER = "ses_frankfurt_3k9v0c7w1h5t2n8qzx4d", "ses_frankfurt_8m2d5r0xj7y4b6a1kcqe"
_MEMBER: Any = {"session": _ONE, "muted": False, "speaking": True, "hears": "all", "hearing": [_OTHER]}
_ROOM: Any = {
    "name": "kitchen",
    "edge": "edge-frankfurt",
    "region": "frankfurt",
    "agent": "host",
    "worker": "worker-0",
    "members": [
        _MEMBER,
        {"session": _OTHER, "muted": True, "speaking": False, "hears": [_ONE], "hearing": [_ONE]},
    ],
    "joining": [],
}

Hears = Literal["all"] | Annotated[list[Annotated[str, Field(min_length=1, max_length=80)]], Field(max_length=64)]
"""Whoever speaks, or only these sessions, however loud others are."""


class MemberChange(BaseModel):
    """What is to change of a member; what is not said stays."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [{"muted": True}, {"hears": [_OTHER]}, {"muted": False, "hears": "all"}],
            "minProperties": 1,
        },
    )

    muted: bool | SkipJsonSchema[None] = None
    """Whether nobody hears it: neither the other members nor the agent."""
    hears: Hears | SkipJsonSchema[None] = None
    """Whom it hears."""

    @model_validator(mode="before")
    @classmethod
    def _something(cls, value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, dict) and (not value or None in value.values()):
            raise ValueError("nothing is to change: say muted, hears or both")
        return value


class Member(BaseModel):
    """A connected session of a room, as its edge sees it."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra={"examples": [_MEMBER]})

    session: str
    muted: bool
    speaking: bool
    hears: Hears
    """Whom it wants to hear."""
    hearing: list[str]
    """Whose voices are forwarded to it now: the most audible of those, as many as it has receive slots."""

    @classmethod
    def of(cls, member: edge_pb2.Member) -> Member:
        return cls(
            session=member.session,
            muted=member.muted,
            speaking=member.speaking,
            hears=list(member.hears.sessions) if member.HasField("hears") else "all",
            hearing=list(member.hearing),
        )


class Room(BaseModel):
    """A room as the cluster remembers it and as its edge sees it."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra={"examples": [_ROOM]})

    name: str
    edge: str
    region: str
    agent: str | None
    """None where the members talk among themselves."""
    worker: str | None
    members: list[Member]
    """The most audible first."""
    joining: list[str]
    """Sessions that are being set up."""

    @classmethod
    def of(cls, record: RoomRecord, live: edge_pb2.Room | None) -> Room:
        members = [Member.of(member) for member in live.members] if live else []
        connected = {member.session for member in members}
        return cls(
            name=room_name(record.name),
            edge=record.edge,
            region=record.region,
            agent=record.agent or None,
            worker=record.worker or None,
            members=members,
            joining=[session for session in record.sessions if session not in connected],
        )


class RoomList(BaseModel):
    """Rooms with somebody in them, by name."""

    rooms: list[Room]
    next: Next = None
