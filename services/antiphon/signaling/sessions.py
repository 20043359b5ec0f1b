"""What may be done to a session that exists: look at it, restart its ICE, end it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc

from antiphon import telemetry
from antiphon.errors import BadRequestError, StaleEpochError, UnavailableError, UnknownSessionError
from antiphon.ids import scoped_room, session_region
from antiphon.signaling.edges import EdgeRefusedError
from antiphon.signaling.placing import etag
from antiphon.signaling.problems import Problem
from antiphon.signaling.sdp import ice_ufrag
from antiphon.wire.control.v1 import edge_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiphon.access import Identity
    from antiphon.cluster import Cluster, EdgeRecord, SessionRecord
    from antiphon.signaling.edges import Edges
    from antiphon.signaling.paging import SessionQuery

_log = telemetry.get_logger("signaling")
_LIVING = frozenset({"claimed", "live"})
_EDGES_AT_ONCE = 16
_LOST_S = 0.5
"""An edge that does not answer within this is not one that a room could stay at."""


class Sessions:
    """Redis says where a session is; its edge says how it is."""

    def __init__(self, cluster: Cluster, edges: Edges) -> None:
        self._cluster = cluster
        self._edges = edges

    async def record(self, session: str, who: Identity) -> SessionRecord:
        """Raises UnknownSessionError, also where it is another's; UnavailableError."""
        record = await self._cluster.session(session).record() if session_region(session) else None
        if record is not None and not record.project:
            record = await self._known_to_its_edge(record)
        if record is None or not who.sees(record.project, record.owner):
            raise UnknownSessionError(f"there is no session {session}, or its record has expired")
        return record

    async def _known_to_its_edge(self, record: SessionRecord) -> SessionRecord:
        """The memory was lost, and with it whose the session is: its edge still knows, and the memory hears of it."""
        address = await self._address(record)
        if address is None:
            return record
        try:
            told = await self._edges.get(address, record.id)
        except EdgeRefusedError:
            return record
        if not told.project:
            return record
        try:
            await self._cluster.session(record.id).update(
                record.epoch, at=record.edge, project=told.project, owner=told.owner
            )
        except (UnavailableError, UnknownSessionError, StaleEpochError) as error:
            _log.warning("session's project not noted", session=record.id, error=str(error))
        return replace(record, project=told.project, owner=told.owner)

    async def answers(self, edge: str, room: str) -> bool:
        """Whether an edge is there, by asking it: its lease says so only some seconds late. Raises UnavailableError."""
        found = await self._cluster.edge(edge)
        if found is None:
            return False
        try:
            await self._edges.rooms(found.control, [room], within_s=_LOST_S)
        except EdgeRefusedError as error:
            return not error.unreachable
        return True

    async def view(self, session: str, who: Identity) -> tuple[SessionRecord, edge_pb2.GetSessionResponse | None]:
        """The record, and the edge's word where the session lives and its edge answers."""
        record = await self.record(session, who)
        address = await self._address(record) if record.state in _LIVING else None
        if address is None:
            return record, None
        try:
            return record, await self._edges.get(address, session)
        except EdgeRefusedError as error:
            if error.code is not grpc.StatusCode.NOT_FOUND:
                _log.warning("edge does not tell of a session", session=session, edge=record.edge, error=str(error))
            return record, None

    async def listed(
        self, who: Identity, query: SessionQuery
    ) -> tuple[list[tuple[SessionRecord, edge_pb2.GetSessionResponse | None]], str | None, Sequence[str]]:
        """A page of records, the edges' word of those that live, the next page's cursor, and regions that are away.

        Each edge is asked once, for all of its own. Raises UnavailableError.
        """
        page = await self._cluster.sessions(
            live=query.live,
            limit=query.limit,
            project=who.project,
            after=(query.cursor or "").replace("-", " ", 1),
            where=_wanted(who, query),
        )
        records = [record for record in page.records if who.sees(record.project, record.owner)]
        return await self._with_edges_word(records), page.next.replace(" ", "-", 1) or None, page.away

    async def _with_edges_word(
        self, records: list[SessionRecord]
    ) -> list[tuple[SessionRecord, edge_pb2.GetSessionResponse | None]]:
        members = await self._cluster.members()
        ids: dict[str, list[str]] = {}
        for record in records:
            if record.state in _LIVING and members.edge(record.edge) is not None:
                ids.setdefault(record.edge, []).append(record.id)
        asking = asyncio.Semaphore(_EDGES_AT_ONCE)

        async def ask(edge: EdgeRecord) -> Mapping[str, edge_pb2.GetSessionResponse]:
            async with asking:
                try:
                    return await self._edges.get_many(edge.control, ids[edge.id])
                except EdgeRefusedError as error:
                    _log.warning("edge does not tell of its sessions", edge=edge.id, error=str(error))
                    return {}

        told = await asyncio.gather(*(ask(edge) for edge in members.edges if edge.id in ids))
        found = {session: state for one in told for session, state in one.items()}
        return [(record, found.get(record.id)) for record in records]

    async def turns(self, session: str, who: Identity) -> list[dict[str, Any]]:
        """Latency traces of its turns, the oldest first. Raises UnknownSessionError, UnavailableError."""
        await self.record(session, who)
        return await self._cluster.session(session).turns()

    async def restart_ice(
        self, session: str, who: Identity, fragment: str, if_match: str | None
    ) -> tuple[str, str] | None:
        """The edge's fragment and the new ETag; None where the fragment only adds candidates, which ICE-lite ignores.

        Raises Problem, UnknownSessionError, BadRequestError, UnavailableError.
        """
        record = await self._live(session, who)
        _check_match(if_match, etag(record.ufrag, record.epoch) if record.ufrag else None)
        ufrag = ice_ufrag(fragment)
        if ufrag is None or ufrag == record.caller_ufrag:
            if "a=candidate:" in fragment or "a=end-of-candidates" in fragment or ufrag:
                return None
            raise BadRequestError("the fragment has neither a=candidate nor new a=ice-ufrag and a=ice-pwd lines")
        if if_match is None:
            raise Problem(428, "precondition_required", "an ICE restart needs If-Match: * or the session's ETag")
        address = await self._address(record)
        if address is None:
            raise UnavailableError(f"edge {record.edge} of the session is away")
        request = edge_pb2.RestartIceRequest(session=session, epoch=record.epoch, sdpfrag=fragment)
        try:
            answer = await self._edges.restart_ice(address, request)
        except EdgeRefusedError as error:
            raise _told(error, session) from None
        try:
            await self._cluster.session(session).update(
                record.epoch, at=record.edge, ufrag=answer.ufrag, caller_ufrag=ufrag
            )
        except (UnavailableError, UnknownSessionError, StaleEpochError) as error:
            _log.warning("ICE restart not noted", session=session, error=str(error))
        return answer.sdpfrag, etag(answer.ufrag, record.epoch)

    async def end(self, session: str, who: Identity) -> None:
        """Ends it at its edge; where that is out of reach, its record at least. Ending twice is no error."""
        record = await self.record(session, who)
        if record.state == "ended":
            return
        address = await self._address(record)
        if address is not None:
            request = edge_pb2.CloseSessionRequest(session=session, epoch=record.epoch, reason="api")
            try:
                await self._edges.close_session(address, request)
            except EdgeRefusedError as error:
                if error.code is not grpc.StatusCode.NOT_FOUND:
                    _log.warning("edge does not end a session", session=session, edge=record.edge, error=str(error))
        await self._cluster.session(session).release(record.epoch, {"reason": "api"}, amend=False, edge=record.edge)

    async def _live(self, session: str, who: Identity) -> SessionRecord:
        record = await self.record(session, who)
        if record.state in {"ended", "lost"}:
            raise UnknownSessionError(f"session {session} is over")
        return record

    async def _address(self, record: SessionRecord) -> str | None:
        edge = await self._cluster.edge(record.edge)
        return edge.control if edge else None


def _wanted(who: Identity, query: SessionQuery) -> dict[str, str]:
    """What fields of the record must be."""
    room = scoped_room(who.project, query.room) if query.room else None
    wanted = {"owner": who.subject or None, "room": room}
    wanted |= {name: getattr(query, name) for name in ("state", "agent", "region", "edge", "worker")}
    return {name: value for name, value in wanted.items() if value is not None}


def _check_match(if_match: str | None, current: str | None) -> None:
    if if_match is None or if_match.strip() == "*":
        return
    if current not in {tag.strip() for tag in if_match.split(",")}:
        raise Problem(412, "precondition_failed", "If-Match names an ICE session that is no longer the current one")


def _told(error: EdgeRefusedError, session: str) -> Exception:
    found: dict[Any, Exception] = {
        grpc.StatusCode.NOT_FOUND: UnknownSessionError(f"session {session} is over"),
        grpc.StatusCode.ABORTED: StaleEpochError(str(error)),
        grpc.StatusCode.INVALID_ARGUMENT: BadRequestError(str(error)),
    }
    return found.get(error.code, UnavailableError(str(error)))
