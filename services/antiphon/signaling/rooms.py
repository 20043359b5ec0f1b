"""Rooms over HTTP: who is in them and who speaks, muting, whom a member hears, and sending a member away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import grpc
from fastapi import APIRouter, Path, Query, Request, Response

from antiphon import telemetry
from antiphon.errors import UnavailableError, UnknownRoomError, UnknownSessionError
from antiphon.ids import room_name, room_project, scoped_room
from antiphon.signaling.edges import EdgeRefusedError
from antiphon.signaling.gate import Asking  # noqa: TC001 - FastAPI reads annotations
from antiphon.signaling.models import RoomName
from antiphon.signaling.openapi import SessionId, body_of, problems_of
from antiphon.signaling.paging import RoomQuery, linked, page_of
from antiphon.signaling.requests import JSON, media_type, read_body, read_json, read_text
from antiphon.signaling.room_models import Member, MemberChange, Room, RoomList
from antiphon.wire.control.v1 import edge_pb2

if TYPE_CHECKING:
    from antiphon.access import Identity
    from antiphon.cluster import Cluster, RoomRecord
    from antiphon.config import SignalingConfig
    from antiphon.signaling.edges import Edges
    from antiphon.signaling.sessions import Sessions

_log = telemetry.get_logger("signaling")
Name = Annotated[RoomName, Path(description="The room")]


class Rooms:
    """Redis says where a room is; its edge says who is in it."""

    def __init__(self, cluster: Cluster, edges: Edges, sessions: Sessions) -> None:
        self._cluster = cluster
        self._edges = edges
        self._sessions = sessions

    async def listed(self, who: Identity, query: RoomQuery) -> tuple[list[Room], str | None]:
        """A page, and the next one's cursor.

        Each edge is asked once; where one does not answer, its rooms have no members to show. Raises
        UnavailableError.
        """
        wanted = query.model_dump(include={"agent", "region", "edge"}, exclude_none=True)
        found = [
            record
            for record in await self._cluster.rooms()
            if room_project(record.name) == who.project
            and all(getattr(record, name) == value for name, value in wanted.items())
        ]
        records, following = page_of(found, query, lambda record: room_name(record.name))
        names: dict[str, list[str]] = {}
        for record in records:
            names.setdefault(record.edge, []).append(record.name)
        told = await asyncio.gather(*(self._ask(edge, rooms) for edge, rooms in names.items()))
        live = {room.name: room for rooms in told for room in rooms}
        return [Room.of(record, live.get(record.name)) for record in records], following

    async def room(self, name: str, who: Identity) -> Room:
        """Raises UnknownRoomError, UnavailableError."""
        record = await self._record(name, who)
        live = await self._ask(record.edge, [record.name])
        return Room.of(record, live[0] if live else None)

    async def change(self, name: str, who: Identity, session: str, change: MemberChange) -> Member:
        """Raises UnknownRoomError, UnknownSessionError, UnavailableError."""
        await self._member(name, who, session)
        record = await self._sessions.record(session, who)  # its edge is another than the room's while that moves
        request = edge_pb2.ChangeMemberRequest(session=session, epoch=record.epoch)
        if change.muted is not None:
            request.muted = change.muted
        if change.hears == "all":
            request.all = True
        elif change.hears is not None:
            request.only.CopyFrom(edge_pb2.Sessions(sessions=change.hears))
        try:
            await self._edges.change_member(await self._address(record.edge), request)
        except EdgeRefusedError as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                raise _no_member(name, session) from None
            raise UnavailableError(str(error)) from None
        members = (await self.room(name, who)).members
        found = next((member for member in members if member.session == session), None)
        if found is None:
            raise _no_member(name, session)
        return found

    async def remove(self, name: str, who: Identity, session: str) -> None:
        """Raises UnknownRoomError, UnknownSessionError, UnavailableError."""
        await self._member(name, who, session)
        await self._sessions.end(session, who)

    async def _record(self, name: str, who: Identity) -> RoomRecord:
        record = await self._cluster.room(scoped_room(who.project, name))
        if record is None:
            raise UnknownRoomError(f"there is no room {name}: nobody is in it")
        return record

    async def _member(self, name: str, who: Identity, session: str) -> RoomRecord:
        record = await self._record(name, who)
        if session not in record.sessions:
            raise _no_member(name, session)
        return record

    async def _address(self, edge: str) -> str:
        found = await self._cluster.edge(edge)
        if found is None:
            raise UnavailableError(f"edge {edge} of the room is away")
        return found.control

    async def _ask(self, edge: str, names: list[str]) -> list[edge_pb2.Room]:
        try:
            return await self._edges.rooms(await self._address(edge), names)
        except (EdgeRefusedError, UnavailableError) as error:
            _log.warning("edge does not tell of its rooms", edge=edge, error=str(error))
            return []


def _no_member(name: str, session: str) -> UnknownSessionError:
    return UnknownSessionError(f"session {session} is not in room {name}")


def room_routes(config: SignalingConfig, rooms: Rooms) -> APIRouter:
    """Look, mute, choose whom to hear, remove."""
    router = APIRouter(prefix="/v1/rooms", tags=["rooms"])

    @router.get("", summary="List rooms with somebody in them, by name", responses=problems_of(_503="unavailable"))
    async def list_rooms(
        request: Request, response: Response, who: Asking, query: Annotated[RoomQuery, Query()]
    ) -> RoomList:
        page, following = await rooms.listed(who, query)
        return RoomList(rooms=page, next=linked(request, response, following))

    @router.get(
        "/{room}",
        summary="Look at a room: where it is, who is in it, who speaks, who is muted, who hears whom",
        responses=problems_of(_404="unknown_room", _503="unavailable"),
    )
    async def get_room(room: Name, who: Asking) -> Room:
        return await rooms.room(room, who)

    @router.patch(
        "/{room}/members/{session}",
        summary="Mute a member, or say whom it hears",
        responses=problems_of(
            _400="bad_request",
            _404="unknown_room, unknown_session: not in this room, or not connected yet",
            _415="unsupported_media_type",
            _503="unavailable",
        ),
        openapi_extra=body_of({JSON: MemberChange}),
    )
    async def change_member(request: Request, room: Name, session: SessionId, who: Asking) -> Member:
        media_type(request, JSON)
        text = read_text(await read_body(request, config.max_body_bytes))
        return await rooms.change(room, who, session, read_json(MemberChange, text))

    @router.delete(
        "/{room}/members/{session}",
        status_code=204,
        response_class=Response,
        summary="Send a member away: ends its session",
        responses=problems_of(_404="unknown_room, unknown_session", _503="unavailable"),
    )
    async def remove_member(room: Name, session: SessionId, who: Asking) -> Response:
        await rooms.remove(room, who, session)
        return Response(status_code=204)

    return router
