"""What is said of a recording, in a file beside its tracks: whose it is, when it was made, whether it is whole."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MANIFEST = "recording.json"
RECORDING_KEY = "antiphon.recording"
"""In the metadata that signaling sends to the worker, where a session shall be recorded: an object with its project."""

PART = r"^[0-9]{1,16}-[0-9]{1,9}$"
_PROJECT = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
TrackName = Literal["caller", "agent"]


def project_in(told: object) -> str:
    """The project that signaling says a recording shall belong to; empty where it says none that can be one."""
    project = told.get("project") if isinstance(told, dict) else None
    return project if isinstance(project, str) and _PROJECT.fullmatch(project) else ""


def part_name(epoch: int, takeovers: int) -> str:
    """The part of a recording that begins in this epoch of the session, after so many workers were lost in it."""
    return f"{epoch}-{takeovers}"


def part_order(part: str) -> tuple[int, int]:
    """Later parts come after earlier ones."""
    epoch, _, takeovers = part.partition("-")
    return int(epoch), int(takeovers)


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Track(_Document):
    """One side of the call, as Ogg Opus (RFC 7845)."""

    track: TrackName
    """caller: as it was received; agent: as it was heard."""
    file: str = Field(pattern=r"^[a-z]{1,32}\.ogg$")
    """Its name beside the manifest."""
    bytes: int
    """Its size."""
    seconds: float | None = None
    """Its length; None where its worker was lost before it could tell."""


class Manifest(_Document):
    """One part of a session's recording: what one worker recorded of it, usually all."""

    session: str
    project: str
    part: str = Field(pattern=PART)
    """The session's epoch when the part began, and how many workers it had lost in that epoch: see `part_name`."""
    agent: str
    worker: str
    room: str = ""
    started_ms: int
    """When both tracks begin, in milliseconds since 1970."""
    ended_ms: int | None = None
    """When it ended; None while it is being made."""
    state: Literal["recording", "complete", "incomplete"] = "recording"
    """Incomplete: it ended before the session did, or something of it was lost."""
    reason: str = ""
    """Why it ended: session_ended, too_long, too_large, disk_slow, disk_failed, lost."""
    tracks: tuple[Track, ...] = ()
    """Empty while it is being made."""
    dropped: dict[str, int] = {}
    """Frames that are not in it though they came, by reason."""

    @property
    def folder(self) -> PurePosixPath:
        """Where it is kept, below the store's root."""
        return folder_of(self.project, self.session) / self.part


def folder_of(project: str, session: str) -> PurePosixPath:
    """All parts of a session's recording, below the store's root."""
    return PurePosixPath(project) / session
