"""Recordings of sessions that there are or were: what there is, the tracks themselves, and their end.

They belong to a project, and outlive the session's record: where they are kept is asked, not the cluster's memory.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from fastapi.responses import FileResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from antiphon import telemetry
from antiphon.config_auth import DEFAULT_PROJECT
from antiphon.errors import UnavailableError, UnknownRecordingError
from antiphon.ids import session_region
from antiphon.recordings import PART, Manifest, Store, StoreError, part_order
from antiphon.signaling.gate import Asking  # noqa: TC001 - FastAPI reads annotations
from antiphon.signaling.metrics import RECORDING_READS
from antiphon.signaling.openapi import problems_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiphon.access import Identity
    from antiphon.cluster import Cluster

_log = telemetry.get_logger("signaling")
TrackFile = Annotated[str, Path(pattern=r"^(caller|agent)\.ogg$", description="caller.ogg or agent.ogg")]
PartName = Annotated[str, Path(pattern=PART, description="as the list of parts names it")]
_ID = "ses_frankfurt_3k9v0c7w1h5t2n8qzx4d"
_PART: dict[str, Any] = {
    "part": "1795476911983-0",
    "state": "complete",
    "reason": "session_ended",
    "worker": "worker-0",
    "started_ms": 1795476912101,
    "ended_ms": 1795476941877,
    "where": "/var/lib/antiphon",
    "dropped": {},
    "tracks": [
        {
            "track": track,
            "seconds": 29.78,
            "bytes": 98_112,
            "url": f"/v1/sessions/{_ID}/recording/1795476911983-0/{track}.ogg",
        }
        for track in ("caller", "agent")
    ],
}


class _Document(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class TrackDocument(_Document):
    """One side of the call as Ogg Opus."""

    track: Literal["caller", "agent"]
    """caller: as received at the edge; agent: as heard at the caller's device. Both begin at the same moment."""
    seconds: float | None
    """Its length; null where its worker was lost."""
    bytes: int
    """Its size."""
    url: str
    """Where to get it: below this API, or a signed address that is good for a while and needs no key."""


class PartDocument(_Document):
    """What one worker recorded; a session has several where its worker was lost."""

    part: str = Field(pattern=PART)
    """Its name: the session's epoch when it began, and how many workers the session had lost in that epoch."""
    state: Literal["recording", "complete", "incomplete"]
    """Incomplete: it ended before the session did, or something of it was lost."""
    reason: str
    """Why it ended: session_ended, too_long, too_large, disk_slow, disk_failed, lost."""
    worker: str
    """Who recorded it."""
    started_ms: int | None
    """When both tracks begin, in milliseconds since 1970."""
    ended_ms: int | None
    """When it ended."""
    where: str
    """Where it is kept. Where signaling does not reach that, tracks is empty."""
    dropped: dict[str, int]
    """Frames that came and are not in it, by reason."""
    tracks: list[TrackDocument]
    """Empty while it is being made."""


class RecordingDocument(_Document):
    """A session's recording."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, json_schema_extra={"examples": [{"session": _ID, "parts": [_PART]}]}
    )

    session: str
    """The session's id."""
    parts: list[PartDocument]
    """The oldest first; usually one."""


class RecordingsAt:
    """Recordings as this node reaches them."""

    def __init__(self, cluster: Cluster, store: Store | None) -> None:
        self._cluster = cluster
        self._store = store

    async def parts(self, session: str, who: Identity) -> list[Manifest]:
        """Of those that are in reach. Raises UnavailableError."""
        if self._store is None or not session_region(session):
            return []
        try:
            return await self._store.parts(who.project if who.key else DEFAULT_PROJECT, session)
        except StoreError as error:
            raise UnavailableError(str(error)) from None

    async def described(self, session: str, who: Identity) -> RecordingDocument:
        """Raises UnknownRecordingError, UnavailableError."""
        parts = {one.part: await self._part(one) for one in await self.parts(session, who)}
        record = None
        with suppress(UnavailableError):  # what is kept can be told without
            record = await self._cluster.session(session).record() if session_region(session) else None
        if record is not None and who.sees(record.project, record.owner):
            for name, facts in record.recorded.items():
                parts.setdefault(name, _out_of_reach(name, facts))
        if not parts:
            raise UnknownRecordingError(f"there is no recording of session {session}, or none any more")
        return RecordingDocument(session=session, parts=[parts[name] for name in sorted(parts, key=part_order)])

    async def _part(self, manifest: Manifest) -> PartDocument:
        facts = manifest.model_dump(include={"part", "state", "reason", "worker", "started_ms", "ended_ms", "dropped"})
        tracks = [
            TrackDocument(
                track=track.track,
                seconds=track.seconds,
                bytes=track.bytes,
                url=await self._address(manifest, track.file),
            )
            for track in manifest.tracks
        ]
        return PartDocument(**facts, where=self._store.where if self._store else "", tracks=tracks)

    async def _address(self, manifest: Manifest, file: str) -> str:
        if self._store is not None and self._store.elsewhere:
            return (await self._store.link(manifest, file)).url or ""
        return f"/v1/sessions/{manifest.session}/recording/{manifest.part}/{file}"

    async def track(self, session: str, part: str, file: str, who: Identity) -> Response:
        """The track, or the way to it. Raises UnknownRecordingError, UnavailableError."""
        found = next((one for one in await self.parts(session, who) if one.part == part), None)
        if self._store is None or found is None or all(track.file != file for track in found.tracks):
            raise UnknownRecordingError(f"there is no {file} in part {part} of a recording of session {session}")
        link = await self._store.link(found, file)
        RECORDING_READS.labels("link" if link.url else "file").inc()
        _log.info("recording read", session=session, part=part, track=file, key=who.key)
        if link.url or link.file is None:
            return RedirectResponse(link.url or "", 307, {"Cache-Control": "no-store"})
        headers = {"Cache-Control": "private, no-store"}
        return FileResponse(link.file, media_type="audio/ogg", filename=f"{session}-{file}", headers=headers)

    async def delete(self, session: str, who: Identity) -> None:
        """Raises UnknownRecordingError, UnavailableError."""
        parts = await self.parts(session, who)
        if not parts or self._store is None:
            raise UnknownRecordingError(f"there is no recording of session {session} in this node's reach")
        if any(one.state == "recording" for one in parts):
            raise UnavailableError(f"session {session} is being recorded: end it first")
        try:
            await self._store.delete(parts[0].project, session)
        except StoreError as error:
            raise UnavailableError(str(error)) from None
        _log.info("recording deleted", session=session, key=who.key)


def _out_of_reach(part: str, facts: Mapping[str, Any]) -> PartDocument:
    state = facts.get("state", "recording")
    return PartDocument(
        part=part,
        state=state,
        reason=facts.get("reason", ""),
        worker=facts.get("worker", ""),
        started_ms=None,
        ended_ms=None,
        where=facts.get("where", ""),
        dropped={},
        tracks=[],
    )


def recording_routes(cluster: Cluster, store: Store | None) -> APIRouter:
    """Look at it, get it, delete it."""
    router = APIRouter(prefix="/v1/sessions", tags=["sessions"])
    recordings = RecordingsAt(cluster, store)
    problems = problems_of(_404="unknown_recording", _503="unavailable")

    @router.get(
        "/{session}/recording",
        summary="Look at a session's recording: its tracks, and where they are",
        description="Of a session that is live, over, or forgotten, while the recording is kept (docs/recording.md). "
        "With a key of the session's project.",
        responses=problems,
    )
    async def get_recording(session: str, who: Asking) -> RecordingDocument:
        return await recordings.described(session, who)

    @router.get(
        "/{session}/recording/{part}/{track}",
        response_class=Response,
        summary="Get a track of a session's recording",
        responses={
            200: {"description": "Ogg Opus; ranges may be asked for", "content": {"audio/ogg": {}}},
            307: {"description": "It is in a bucket: where to get it, without a key"},
            **problems,
        },
    )
    async def get_track(session: str, part: PartName, track: TrackFile, who: Asking) -> Response:
        return await recordings.track(session, part, track, who)

    @router.delete(
        "/{session}/recording",
        status_code=204,
        response_class=Response,
        summary="Delete a session's recording, all parts of it",
        responses=problems,
    )
    async def delete_recording(session: str, who: Asking) -> Response:
        await recordings.delete(session, who)
        return Response(status_code=204)

    return router
