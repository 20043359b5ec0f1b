"""What stands between the socket and a handler: size and time limits of bodies, media types, and who is asking."""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import Request  # noqa: TC002 - FastAPI reads the annotations of dependencies
from starlette.datastructures import Headers

from antiphon.config import is_loopback
from antiphon.signaling.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr
    from starlette.types import ASGIApp, Receive, Scope, Send

    from antiphon.config import AuthConfig

_BODY_S = 10.0


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


class Gate:
    """Lets through who has a key, where keys are configured."""

    def __init__(self, config: AuthConfig) -> None:
        self._keys: Mapping[str, SecretStr] | None = config.api_keys if config.mode == "keys" else None

    async def __call__(self, request: Request) -> None:
        """A dependency of every route under /v1. Raises Problem."""
        if self._keys is None:
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._knows(token.strip()):
            raise Problem(
                401,
                "unauthorized",
                "an API key is needed: Authorization: Bearer <id>.<secret>",
                headers={"WWW-Authenticate": 'Bearer realm="antiphon"'},
            )

    def _knows(self, token: str) -> bool:
        """Takes as long for a wrong secret as for an unknown id."""
        name, _, secret = token.partition(".")
        known = (self._keys or {}).get(name)
        expected = known.get_secret_value() if known else "\0"
        return hmac.compare_digest(secret.encode(), expected.encode()) and known is not None


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
