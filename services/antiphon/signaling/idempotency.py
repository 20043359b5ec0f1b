"""The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header): sent twice, done once, answered alike."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

from fastapi import Header, Response

from antiphon import telemetry
from antiphon.errors import UnavailableError
from antiphon.signaling.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from antiphon.access import Identity
    from antiphon.cluster import Cluster

_log = telemetry.get_logger("signaling")
_KEPT_HEADERS = ("content-type", "location", "etag")
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[A-Za-z0-9_.:-]{8,128}$",
        description="Names this request, a UUID say: sent again with the same body it is answered as before",
    ),
]


async def once(
    cluster: Cluster,
    who: Identity,
    key: str | None,
    request: tuple[str, ...],
    answer: Callable[[], Awaitable[Response]],
) -> Response:
    """Answers, or tells the answer that the same request of the same project and subject had.

    What fails is not kept: the next request with the key begins anew. Raises Problem, UnavailableError, and what
    `answer` raises.
    """
    if key is None:
        return await answer()
    name, digest, owner = _digest(who.project, who.subject, key), _digest(*request), uuid4().hex
    state, reply = await cluster.replies.begin(name, digest, owner)
    if state == "answered":
        return _replayed(reply)
    if state == "other":
        raise Problem(409, "idempotency_conflict", "another request had this Idempotency-Key; take a new one for each")
    if state == "in_flight":
        raise Problem(
            409,
            "in_flight",
            "the first request with this Idempotency-Key is not answered yet; ask again",
            headers={"Retry-After": "1"},
        )
    try:
        response = await answer()
    except BaseException:
        with suppress(UnavailableError):
            await cluster.replies.settle(name, owner, "")
        raise
    try:
        await cluster.replies.settle(name, owner, _kept(response))
    except UnavailableError as error:
        _log.warning("a reply is not kept for its Idempotency-Key", error=str(error))
    return response


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _kept(response: Response) -> str:
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return json.dumps({"status": response.status_code, "headers": headers, "body": bytes(response.body).decode()})


def _replayed(reply: str) -> Response:
    kept = json.loads(reply)
    return Response(kept["body"], kept["status"], {**kept["headers"], "Idempotency-Replayed": "true"})
