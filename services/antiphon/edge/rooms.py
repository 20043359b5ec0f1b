"""Rooms of this edge, between the control service and the media plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from antiphon.wire.control.v1 import edge_pb2

if TYPE_CHECKING:
    from antiphon.edge._media import MediaPlane


class EdgeRooms:
    """Says who is in them, and changes members."""

    def __init__(self, plane: MediaPlane) -> None:
        self._plane = plane

    async def told(self, request: edge_pb2.GetRoomsRequest) -> edge_pb2.GetRoomsResponse:
        wanted = set(request.rooms)
        rooms: list[dict[str, Any]] = self._plane.rooms()
        return edge_pb2.GetRoomsResponse(
            rooms=[
                edge_pb2.Room(name=room["name"], members=[_member(member) for member in room["members"]])
                for room in rooms
                if not wanted or room["name"] in wanted
            ]
        )

    def change(self, request: edge_pb2.ChangeMemberRequest) -> bool:
        """False when the session is in no room here. Raises PermissionError for an old owner."""
        return self._plane.change_member(
            request.session,
            epoch=request.epoch,
            muted=request.muted if request.HasField("muted") else None,
            hears_all=request.HasField("all"),
            hears_only=list(request.only.sessions) if request.HasField("only") else None,
        )


def _member(member: dict[str, Any]) -> edge_pb2.Member:
    hears = member["hears"]
    return edge_pb2.Member(
        session=member["session"],
        muted=member["muted"],
        speaking=member["speaking"],
        hears=None if hears is None else edge_pb2.Sessions(sessions=hears),
        hearing=member["hearing"],
    )
