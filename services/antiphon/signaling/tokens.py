"""Mints session tokens over HTTP: with an API key, for somebody who shall not have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from antiphon import telemetry
from antiphon.access import Grants, mint
from antiphon.signaling.gate import Asking  # noqa: TC001 - FastAPI reads annotations
from antiphon.signaling.openapi import body_of, problems_of
from antiphon.signaling.problems import Problem
from antiphon.signaling.requests import JSON, media_type, read_body, read_json, read_text

if TYPE_CHECKING:
    from antiphon.access import KeyRing
    from antiphon.config import SignalingConfig
    from antiphon.config_auth import TokenConfig

_log = telemetry.get_logger("signaling")
_TTL_S = 600


def _whole(value: object) -> object:
    """To JSON Schema 600.0 is a whole number too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class TokenRequest(BaseModel):
    """Whom the token is for, for how long, and what it grants."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"subject": "customer-42", "ttl_s": 600, "grants": {"agent": "parrot"}}]},
    )

    subject: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Whom it stands for (`sub`): its bearer has the sessions that tokens of this subject made. Random if not said."""
    ttl_s: Annotated[int, BeforeValidator(_whole)] = Field(default=_TTL_S, ge=1)
    """Seconds that it is valid for. A call that it began goes on after that."""
    grants: Grants = Grants()


class TokenDocument(BaseModel):
    """A token, to send as `Authorization: Bearer`."""

    model_config = ConfigDict(
        title="Token",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "token": "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFwcCIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJhY21lIn0.4Zk",
                    "subject": "customer-42",
                    "expires": 1795480511,
                    "id": "0f8c1d7be2a44c5f9d3b6a7e8c9d0e1f",
                }
            ]
        },
    )

    token: str
    subject: str
    expires: int
    """Seconds since 1970."""
    id: str
    """Its `jti`."""


def token_routes(config: SignalingConfig, tokens: TokenConfig, keys: KeyRing) -> APIRouter:
    """One route."""
    router = APIRouter(prefix="/v1/tokens", tags=["tokens"])

    @router.post(
        "",
        status_code=201,
        summary="Mint a session token, for use from a browser",
        description="The calling key signs it: with its private_key (EdDSA), else with its secret (HS256).",
        responses=problems_of(
            _400="bad_request; also where the key cannot sign",
            _409="no_keys: without keys there is nothing to sign with, and no token is needed",
            _413="too_large",
            _415="unsupported_media_type",
        ),
        openapi_extra=body_of({JSON: TokenRequest}, {"properties": {"ttl_s": {"maximum": tokens.max_ttl_s}}}),
    )
    async def create_token(request: Request, response: Response, who: Asking) -> TokenDocument:
        media_type(request, JSON)
        asked = read_json(TokenRequest, read_text(await read_body(request, config.max_body_bytes)))
        key = keys.get(who.key)
        if key is None:
            raise Problem(409, "no_keys", "tokens are signed by API keys: set auth.mode to keys, and call with one")
        minted = mint(key, asked.grants, tokens, ttl_s=asked.ttl_s, subject=asked.subject)
        _log.info("token minted", key=key.id, project=key.project, token_id=minted.id, expires=minted.expires)
        response.headers["Cache-Control"] = "no-store"
        return TokenDocument(token=minted.token, subject=minted.subject, expires=minted.expires, id=minted.id)

    return router
