"""What a session token lets its bearer ask for."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

ANY = "*"
MOST_METADATA_BYTES = 2 * 1024
_ROOM = r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,63})$"


class Grants(BaseModel):
    """What is not granted is refused: a token with nothing in it calls the default agent, outside any room."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"agent": "parrot", "metadata": {"customer": "42"}}, {"room": "kitchen"}]},
    )

    agent: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """The agent that it may call, and calls when it names none; `*` for any."""
    room: Annotated[str, Field(pattern=_ROOM)] | None = None
    """The room that it may join, and joins when it names none; `*` for any."""
    publish: bool = True
    """Whether its voice is taken: what else it sends, the edge drops."""
    subscribe: bool = True
    """Whether it is sent the voices of the agent and of the room's members."""
    region: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    """The region that its sessions are placed by, whatever they ask for; any when not said."""
    recording: bool = False
    """Whether it may ask for its sessions to be recorded."""
    metadata: dict[str, Any] = {}
    """For the agent; counts more than what the caller says under the same names. At most 2 KiB as JSON."""

    @field_validator("metadata")
    @classmethod
    def _short(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(value, allow_nan=False)) > MOST_METADATA_BYTES:
            raise ValueError(f"is larger than {MOST_METADATA_BYTES} bytes")
        return value

    def allows_agent(self, agent: str) -> bool:
        return self.agent in {ANY, agent}

    def allows_room(self, room: str) -> bool:
        return self.room in {ANY, room}
