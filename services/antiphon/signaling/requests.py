"""What stands between the socket and a handler: size and time limits of bodies, media types, and names of this node."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from antiphon.config_base import is_loopback
from antiphon.placement import LOCATION_HEADERS, Origin, joined, origin_of
from antiphon.signaling.problems import Problem

if TYPE_CHECKING:
    from fastapi import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from antiphon.config import GeoIPConfig

JSON = "application/json"
_BODY_S = 10.0

Document = TypeVar("Document", bound=BaseModel)


async def read_body(request: Request, limit: int) -> bytes:
    """Reads no more than `limit` bytes, whatever the caller announced, and for no longer than 10 s. Raises Problem."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise Problem(
            408, "request_timeout", f"the body did not arrive within {_BODY_S:.0f} s", headers={"Connection": "close"}
        ) from None
    except ClientDisconnect:
        raise Problem(400, "request_aborted", "the caller left before its body was complete") from None
    return bytes(body)


def _too_large(limit: int) -> Problem:
    return Problem(
        413,
        "too_large",
        f"the body is larger than {limit} bytes, the most that is taken",
        headers={"Connection": "close"},
    )


def read_text(body: bytes) -> str:
    """Raises Problem where the body is no UTF-8."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise Problem(400, "bad_request", f"line {line} of the body is not UTF-8", line=line) from None


def read_json(kind: type[Document], text: str) -> Document:
    """Takes what the schema says, and no "yes" for true. Raises Problem, which names the field."""
    try:
        return kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise Problem(400, "bad_request", f"{field or 'the body'}: {message}", field=field) from None


def origin(request: Request, config: GeoIPConfig) -> Origin:
    """Where the request comes from, as far as proxies are ours."""
    peer = request.client.host if request.client else ""
    names = (config.forwarded_header, *LOCATION_HEADERS[config.location_headers])
    return origin_of(peer, joined(names, request.headers.getlist), config)


def media_type(request: Request, *accepted: str) -> str:
    """The body's media type, which must be one of `accepted`. Raises Problem."""
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in accepted:
        listed = ", ".join(accepted)
        header = "Accept-Patch" if request.method == "PATCH" else "Accept-Post"
        raise Problem(
            415,
            "unsupported_media_type",
            f"Content-Type is {found or 'missing'}, but this takes {listed}",
            headers={header: listed},
        )
    return found


class LoopbackNames:
    """ASGI middleware for nodes without keys: serves only who calls this machine by a loopback name.

    A foreign page can have its own name resolve to 127.0.0.1 (DNS rebinding); the browser then takes us for that
    page's server and lets it read our answers. The Host header still has the page's name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _names_loopback(Headers(scope=scope).get("host", "")):
            await self._app(scope, receive, send)
            return
        problem = Problem(
            421,
            "misdirected_request",
            "without keys only requests to localhost or a loopback address are served, and the Host header has "
            "another name: call http://127.0.0.1, or set auth.mode to keys",
        )
        await problem.response()(scope, receive, send)


def _names_loopback(host: str) -> bool:
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:  # brackets without an address in them
        return False
    return is_loopback(name) or name.endswith(".localhost")
