"""Errors as problem+json (RFC 9457): one shape for all of them, with a `code` for programs and words for people."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from antiphon import errors, telemetry
from antiphon.signaling.metrics import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastapi import FastAPI, Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

_log = telemetry.get_logger("signaling")
_MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An answer other than success. Further members go into the document."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def response(self) -> JSONResponse:
        REFUSALS.labels(self.code).inc()
        document = {
            "type": f"urn:antiphon:problem:{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.members,
        }
        return JSONResponse(document, self.status, self.headers, media_type=_MEDIA_TYPE)


def problem_of(error: errors.AntiphonError) -> Problem:  # noqa: PLR0911, PLR0912, C901 - a table
    """How an error is told over HTTP."""
    text = str(error)
    match error:
        case errors.BadOfferError():
            if not error.line:
                return Problem(400, "bad_offer", text)
            return Problem(400, "bad_offer", f"line {error.line}: {text}", line=error.line)
        case errors.BadRequestError():
            return Problem(400, "bad_request", text)
        case errors.UnknownAgentError():
            return Problem(404, "unknown_agent", text)
        case errors.UnknownSessionError():
            return Problem(404, "unknown_session", text)
        case errors.UnknownRoomError():
            return Problem(404, "unknown_room", text)
        case errors.UnknownMemberError():
            return Problem(404, "unknown_member", text)
        case errors.UnknownRecordingError():
            return Problem(404, "unknown_recording", text)
        case errors.RoomConflictError():
            return Problem(409, "room_conflict", text)
        case errors.ForbiddenError():
            return Problem(403, "forbidden", text)
        case errors.OverLimitError():
            return Problem(429, error.what, text, headers=_retry(error.retry_after))
        case errors.StaleEpochError():
            return Problem(409, "stale_epoch", text)
        case errors.UnavailableError():
            code = {errors.NoEdgeError: "no_edge", errors.NoWorkerError: "no_worker"}.get(type(error), "unavailable")
            return Problem(503, code, text, headers=_retry(error.retry_after))
        case _:
            _log.error("request failed", exc_info=error)
            return Problem(500, "internal", "this is our fault: signaling's log tells more")


def _retry(after: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(after)))}


def install(app: FastAPI, routes: Iterable[BaseRoute]) -> None:
    """Makes every error of the app a problem. `routes` are those of the API, to tell which methods a path takes."""
    known = list(routes)

    async def told(_: Request, error: Exception) -> Response:
        if isinstance(error, errors.AntiphonError):
            error = problem_of(error)
        if not isinstance(error, Problem):
            raise error
        return error.response()

    async def invalid(_: Request, error: Exception) -> Response:
        first: dict[str, Any] = error.errors()[0] if isinstance(error, RequestValidationError) else {}
        where = ".".join(str(part) for part in first.get("loc", ()))
        return Problem(400, "bad_request", f"{where}: {first.get('msg', 'is not valid')}", field=where).response()

    async def http(request: Request, error: Exception) -> Response:
        status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
            return _no_such(request, known).response()
        headers = error.headers if isinstance(error, HTTPException) else None
        return Problem(status, HTTPStatus(status).name.lower(), str(detail), headers=headers).response()

    async def failed(request: Request, error: Exception) -> Response:
        _log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
        return Problem(500, "internal", "this is our fault: signaling's log tells more").response()

    app.add_exception_handler(Problem, told)
    app.add_exception_handler(errors.AntiphonError, told)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, failed)


def _no_such(request: Request, routes: list[BaseRoute]) -> Problem:
    matching = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    verb = request.url.path.rpartition(":")[2]  # what ends in :move is no session's id, though the pattern takes it
    own = [route for route in matching if getattr(route, "path", "").endswith(f":{verb}")] or matching
    methods = {method for route in own for method in getattr(route, "methods", None) or ()}
    if methods and request.method not in methods:
        allowed = ", ".join(sorted(methods))
        detail = f"{request.url.path} takes {allowed}, not {request.method}"
        return Problem(405, "method_not_allowed", detail, headers={"Allow": allowed})
    return Problem(404, "not_found", f"there is nothing at {request.url.path}; /openapi.json lists what there is")
