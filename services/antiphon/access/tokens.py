"""Session tokens: JSON Web Tokens (RFC 7519) with grants, for a browser to carry. EdDSA and HS256 only, by the key."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from pydantic import ValidationError

from antiphon.access.grants import Grants
from antiphon.access.identity import Identity
from antiphon.errors import BadRequestError, TokenError

if TYPE_CHECKING:
    from antiphon.access.keys import Key, KeyRing
    from antiphon.config_auth import TokenConfig

MOST_BYTES = 8 * 1024
_LEEWAY_S = 5
_REQUIRED = ("iss", "sub", "aud", "exp", "iat", "jti")
_MOST_ID = 128
_ODD_JSON = (ValueError, TypeError, OverflowError, RecursionError)
"""What the library lets through where a number is infinite or a list as deep as the token is long."""


@dataclass(frozen=True)
class Minted:
    """A new token, and what of it is worth knowing. Its text is a secret."""

    token: str
    subject: str
    expires: int
    """Seconds since 1970."""
    id: str


def mint(
    key: Key, grants: Grants, config: TokenConfig, *, ttl_s: int, subject: str | None = None, now: float | None = None
) -> Minted:
    """Signs a token. Without a `subject` it stands for somebody of its own. Raises BadRequestError."""
    signing = key.signing
    if signing is None:
        raise BadRequestError(
            f"the key {key.id} cannot sign tokens: it needs a secret of 32 characters or more, or a private_key"
        )
    if not 1 <= ttl_s <= config.max_ttl_s:
        raise BadRequestError(f"ttl_s is {ttl_s}, but must be from 1 to {config.max_ttl_s} s (auth.tokens.max_ttl_s)")
    issued = int(time.time() if now is None else now)
    subject = subject or f"anonymous-{secrets.token_hex(8)}"
    token_id = secrets.token_hex(16)
    claims = {
        "iss": key.project,
        "sub": subject,
        "aud": config.audience,
        "iat": issued,
        "nbf": issued,
        "exp": issued + ttl_s,
        "jti": token_id,
        "grants": grants.model_dump(mode="json", exclude_defaults=True),
    }
    token = jwt.encode(claims, signing, algorithm=key.algorithm, headers={"kid": key.id})
    return Minted(token, subject, issued + ttl_s, token_id)


def looks_like_one(bearer: str) -> bool:
    """Whether this is written as a token is: three parts, of which the first is a JSON object's beginning in base64."""
    return bearer.count(".") == 2 and bearer.startswith("eyJ")


def verify(token: str, keys: KeyRing, config: TokenConfig) -> Identity:
    """Who bears it, and what is granted. Raises TokenError."""
    if len(token) > MOST_BYTES:
        raise TokenError(f"the token is larger than {MOST_BYTES} bytes", reason="malformed")
    key = _key_of(token, keys)
    verifying = key.verifying
    if verifying is None:
        raise TokenError(f"the key {key.id} signs no tokens: its secret is too short", reason="unknown_key")
    try:
        claims = jwt.decode(
            token,
            verifying,
            algorithms=[key.algorithm],
            audience=config.audience,
            issuer=key.project,
            leeway=_LEEWAY_S,
            options={"require": list(_REQUIRED), "strict_aud": True},
        )
    except jwt.InvalidTokenError as error:
        raise _told(error) from None
    except _ODD_JSON:
        raise TokenError("the token's claims cannot be read", reason="claims") from None
    return _identity(key, claims, config)


def _key_of(token: str, keys: KeyRing) -> Key:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, *_ODD_JSON):
        raise TokenError("the token is no JSON Web Token", reason="malformed") from None
    if "crit" in header:
        raise TokenError("the token has critical extensions, which are not known here", reason="malformed")
    kid = header.get("kid")
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise TokenError("the token's kid names no key that is valid here", reason="unknown_key")
    if header.get("alg") != key.algorithm:
        raise TokenError(f"the token's alg is not {key.algorithm}, which is its key's", reason="algorithm")
    return key


def _identity(key: Key, claims: dict[str, Any], config: TokenConfig) -> Identity:
    for name in ("sub", "jti"):
        value = claims[name]
        if not isinstance(value, str) or not 1 <= len(value) <= _MOST_ID:
            raise TokenError(f"the token's {name} must be a text of 1 to {_MOST_ID} characters", reason="claims")
    if not all(type(claims[name]) in {int, float} for name in ("exp", "iat")):
        raise TokenError("the token's exp and iat must be numbers", reason="claims")
    if claims["exp"] - claims["iat"] > config.max_ttl_s:
        raise TokenError(f"the token lives longer than {config.max_ttl_s} s, the most that is taken", reason="claims")
    try:
        grants = Grants.model_validate(claims.get("grants", {}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in ("grants", *first["loc"]))
        raise TokenError(f"the token's {where}: {first['msg']}", reason="claims") from None
    return Identity(key.project, key.id, grants=grants, subject=claims["sub"])


def _told(error: jwt.InvalidTokenError) -> TokenError:  # noqa: PLR0911 - a table
    match error:
        case jwt.ExpiredSignatureError():
            return TokenError("the token has expired: ask for a new one", reason="expired")
        case jwt.ImmatureSignatureError():
            return TokenError("the token is not valid yet: compare the clocks", reason="not_yet")
        case jwt.InvalidSignatureError():
            return TokenError("the token's signature is not its key's", reason="signature")
        case jwt.InvalidAudienceError():
            return TokenError("the token's aud is not this cluster's (auth.tokens.audience)", reason="audience")
        case jwt.InvalidIssuerError():
            return TokenError("the token's iss is not its key's project", reason="issuer")
        case jwt.MissingRequiredClaimError():
            return TokenError(f"the token lacks the claim {error.claim}", reason="claims")
        case jwt.InvalidAlgorithmError():
            return TokenError("the token's alg is not its key's", reason="algorithm")
        case _:
            return TokenError("the token cannot be read", reason="malformed")
