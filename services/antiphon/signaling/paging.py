"""Lists in pages: what may be asked of each of them, and how a reader goes on after the last one that it got."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from antiphon.signaling.models import Agent, MemberName, RegionName, RoomName  # noqa: TC001 - pydantic reads them

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastapi import Request, Response

MOST = 1000
"""Entries of a page."""
_Cursor = Annotated[str, Field(pattern=r"^([0-9a-f]{2}){1,400}$")]
_SessionCursor = Annotated[str, Field(pattern=r"^[0-9]{1,15}-ses_[a-z0-9-]{1,32}_[0-9a-z]{20}$")]
_Entry = TypeVar("_Entry")


class PageQuery(BaseModel):
    """Of any list. What is not known is refused: a filter that is misspelt would find everything."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    limit: int = Field(default=MOST, ge=1, le=MOST)
    """Most entries of a page."""
    cursor: _Cursor | None = None
    """The `next` of the page before, with the same filters; the list's beginning where not said."""


class SessionQuery(PageQuery):
    cursor: _SessionCursor | None = None
    """The `next` of the page before, with the same filters; the list's beginning where not said."""
    limit: int = Field(default=100, ge=1, le=MOST)
    """Most entries of a page. It may have fewer though another page follows."""
    live: bool = False
    """Only those that have not ended."""
    state: Literal["claimed", "live", "ended", "lost"] | None = None
    """Only those in this state of their record; what an edge tells of a live one is finer."""
    agent: Agent | None = None
    """Only this agent's."""
    region: RegionName | None = None
    """Only those in this region."""
    edge: MemberName | None = None
    """Only those at this edge."""
    worker: MemberName | None = None
    """Only those at this worker."""
    room: RoomName | None = None
    """Only those of this room."""


class RoomQuery(PageQuery):
    limit: int = Field(default=100, ge=1, le=MOST)
    """Most entries of a page."""
    agent: Agent | None = None
    """Only those with this agent."""
    region: RegionName | None = None
    """Only those in this region."""
    edge: MemberName | None = None
    """Only those at this edge."""


class EdgeQuery(PageQuery):
    region: RegionName | None = None
    """Only those in this region."""
    draining: bool | None = None
    """Only those that take no new sessions, or only those that do."""


class WorkerQuery(PageQuery):
    agent: Agent | None = None
    """Only those that have this agent."""
    draining: bool | None = None
    """Only those that take no new sessions, or only those that do."""


class AgentQuery(PageQuery):
    worker: MemberName | None = None
    """Only those that this worker has."""


def cursor_of(place: str) -> str:
    """Opaque to whoever gets it: what the next page goes on after."""
    return place.encode().hex()


def page_of(
    entries: Iterable[_Entry], query: PageQuery, name: Callable[[_Entry], str]
) -> tuple[list[_Entry], str | None]:
    """A page of a list that is at hand, by name, and the cursor of the next."""
    after = bytes.fromhex(query.cursor or "")
    rest = sorted((entry for entry in entries if name(entry).encode() > after), key=name)
    page = rest[: query.limit]
    return page, cursor_of(name(page[-1])) if len(rest) > len(page) else None


def page_in_order(
    entries: list[_Entry], query: PageQuery, name: Callable[[_Entry], str]
) -> tuple[list[_Entry], str | None]:
    """As `page_of`, of a list with an order of its own, whose oldest entries may go: then so are all before it."""
    start = next((at + 1 for at in reversed(range(len(entries))) if cursor_of(name(entries[at])) == query.cursor), 0)
    page = entries[start : start + query.limit]
    return page, cursor_of(name(page[-1])) if start + len(page) < len(entries) else None


def linked(request: Request, response: Response, following: str | None) -> str | None:
    """Says in the Link header (RFC 8288) too where the next page is."""
    if following is not None:
        target = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{target.path}?{target.query}>; rel="next"'
    return following
