"""The door of the API: who is asking, and whether they may call this route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from antiphon.access import LOCAL, Identity, looks_like_one, verify
from antiphon.errors import TokenError
from antiphon.signaling.metrics import TOKEN_REFUSALS
from antiphon.signaling.problems import Problem
from antiphon.signaling.requests import origin
from antiphon.signaling.rights import right_to

if TYPE_CHECKING:
    from antiphon.access import KeyRing
    from antiphon.config import GeoIPConfig
    from antiphon.config_auth import AuthConfig
    from antiphon.signaling.rates import Limiter

_REALM = 'Bearer realm="antiphon"'


class Gate:
    """A dependency of every route under /v1; leaves who is asking in the request's state."""

    def __init__(self, config: AuthConfig, keys: KeyRing, limiter: Limiter, proxies: GeoIPConfig) -> None:
        self._config = config
        self._keys = keys
        self._limiter = limiter
        self._proxies = proxies

    async def __call__(self, request: Request) -> None:
        """Raises Problem, OverLimitError. Who shows a bad key is counted too, by address."""
        if self._config.mode == "none":
            request.state.identity = LOCAL
            return
        try:
            identity = self._identify(request)
        except Problem:
            await self._limiter.admit(self._address(request), None)
            raise
        await self._limiter.admit(self._address(request), identity)
        _check_right(request, identity)
        request.state.identity = identity

    def _address(self, request: Request) -> str:
        return origin(request, self._proxies).address

    def _identify(self, request: Request) -> Identity:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        bearer = bearer.strip()
        if scheme.lower() == "bearer":
            if key := self._keys.holder(bearer):
                return key.identity()
            if looks_like_one(bearer):
                return self._bearer_of(bearer)
        raise Problem(
            401,
            "unauthorized",
            "an API key or a session token is needed: Authorization: Bearer <id>.<secret>, or the token",
            headers={"WWW-Authenticate": _REALM},
        )

    def _bearer_of(self, token: str) -> Identity:
        try:
            return verify(token, self._keys, self._config.tokens)
        except TokenError as error:
            TOKEN_REFUSALS.labels(error.reason).inc()
            raise Problem(
                401,
                "unauthorized",
                str(error),
                headers={"WWW-Authenticate": f'{_REALM}, error="invalid_token"'},  # RFC 6750, section 3
                reason=error.reason,
            ) from None


def _check_right(request: Request, identity: Identity) -> None:
    path = getattr(request.scope.get("route"), "path", "")
    needed = right_to(request.method, path)
    if needed == "operator" and not identity.operator:
        raise Problem(403, "forbidden", f"{request.method} {path} is for keys with operator: true")
    if needed == "key" and identity.grants is not None:
        raise Problem(403, "forbidden", f"{request.method} {path} is for API keys: a session token cannot call it")


def _asking(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity


Asking = Annotated[Identity, Depends(_asking)]
"""Who asks, for a handler whose routes the gate guards."""
