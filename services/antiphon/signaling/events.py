"""GET /v1/events: what happens, as server-sent events (HTML Living Standard, section 9.2), to go on from any."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from antiphon import telemetry
from antiphon.errors import OverLimitError, UnavailableError
from antiphon.signaling.gate import Asking  # noqa: TC001 - FastAPI reads annotations
from antiphon.signaling.metrics import EVENT_LISTENERS
from antiphon.signaling.openapi import problems_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.types import Receive, Scope, Send

    from antiphon.access import Identity
    from antiphon.cluster import Cluster

_log = telemetry.get_logger("signaling")
LISTENERS_PER_KEY = 8
LISTENERS = 64
"""At one node: each of them asks Redis twice a second."""
_POLL_S = 0.5
_QUIET_S = 15.0  # proxies close what is silent for a minute or so
_LONGEST_S = 900
_RETRY_S = 5.0
_AT = r"[0-9]{1,15}-[0-9]{1,15}"
_IN_REGION = rf"[a-z0-9-]{{1,32}}:{_AT}"
_CURSOR = rf"^({_AT}|{_IN_REGION}(,{_IN_REGION}){{0,63}})$"
_EXAMPLE = 'id: 1764184688000-0\nevent: session.ended\ndata: {"session": "ses_frankfurt_0", "reason": "api"}\n\n'


class Listeners:
    """Open streams of this node, by key."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    def check(self, key: str) -> None:
        """Raises OverLimitError where one more would be too many."""
        if self._of[key] >= LISTENERS_PER_KEY or self._of.total() >= LISTENERS:
            raise OverLimitError(
                f"this node streams events to {LISTENERS_PER_KEY} listeners of one key, and {LISTENERS} in all; "
                "close one, or try again later",
                what="too_many_listeners",
                retry_after=_RETRY_S,
            )

    @contextmanager
    def one_more(self, key: str) -> Iterator[None]:
        self._of[key] += 1
        EVENT_LISTENERS.inc()
        try:
            yield
        finally:
            EVENT_LISTENERS.dec()
            self._of[key] -= 1


class _Stream(StreamingResponse):
    """Counts while it is sent, and never after: its listener may leave at any moment."""

    def __init__(self, content: AsyncIterator[str], listeners: Listeners, key: str) -> None:
        super().__init__(content, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self.headers["Content-Type"] = "text/event-stream"
        self._listeners = listeners
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._listeners.one_more(self._key):
            await super().__call__(scope, receive, send)


def event_routes(cluster: Cluster) -> APIRouter:
    """The one route."""
    router = APIRouter(prefix="/v1", tags=["cluster"])
    listeners = Listeners()

    @router.get(
        "/events",
        response_class=Response,
        summary="What happens, as it happens: server-sent events",
        description="Sessions and rooms of the key's project; for operators' keys also edges and workers. A stream "
        "that breaks goes on where it stopped with Last-Event-ID; without one it begins now. Where events between are "
        "no longer kept, the event `gap` comes first.",
        responses={
            200: {"description": "Events", "content": {"text/event-stream": {"example": _EXAMPLE}}},
            **problems_of(
                _400="bad_request: Last-Event-ID is no event's id",
                _429="too_many_listeners; too_many_requests; see Retry-After",
                _503="unavailable",
            ),
        },
    )
    async def events(
        who: Asking,
        last_event_id: Annotated[
            str | None, Header(pattern=_CURSOR, description="Go on after it; 0-0 for all there is")
        ] = None,
        for_s: Annotated[
            int, Query(ge=0, le=_LONGEST_S, description="End after so many seconds; 0: tell what there is, and end")
        ] = _LONGEST_S,
    ) -> Response:
        listeners.check(who.key)
        last = last_event_id if last_event_id is not None else await cluster.events.end()
        return _Stream(_told(cluster, who, last, for_s), listeners, who.key)

    return router


async def _told(cluster: Cluster, who: Identity, last: str, for_s: float) -> AsyncIterator[str]:
    """Ends where Redis is away: the listener asks again, and hears then that it is."""
    until = time.monotonic() + for_s
    project = who.project if who.key else ""
    spoke = time.monotonic()
    yield f"retry: {_RETRY_S * 1000:.0f}\n\n"
    while True:
        try:
            page = await cluster.events.after(last, project=project, members=who.operator)
        except UnavailableError as error:
            _log.warning("a stream of events ends", error=str(error))
            return
        if page.gap:
            yield f"event: gap\ndata: {json.dumps({'after': last})}\n\n"
        for event in page.events:
            yield f"id: {event.id}\nevent: {event.type}\ndata: {json.dumps(event.data)}\n\n"
        if page.events or page.gap:
            spoke = time.monotonic()
        if page.last != last:
            last = page.last
            continue
        if time.monotonic() >= until:
            return
        if time.monotonic() - spoke >= _QUIET_S:
            spoke = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(min(_POLL_S, max(0.0, until - time.monotonic())))
