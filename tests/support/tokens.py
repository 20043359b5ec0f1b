"""Keys and tokens for tests: two projects, a key of each kind, and tokens that no honest signer would make."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from antiphon.access import Grants, KeyRing, mint, read_keys
from antiphon.config_auth import AuthConfig

ACME, GLOBEX, OTHER = "acme-secret-0123456789-abcdefghijk", "globex-secret-0123456789-abcdefghi", "x" * 40
_pair = Ed25519PrivateKey.generate()
PRIVATE = _pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = _pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

AUTH: dict[str, Any] = {
    "mode": "keys",
    "api_keys": {
        "acme": {"project": "acme", "secret": ACME},
        "acme-new": {"project": "acme", "secret": OTHER},
        "signer": {"project": "acme", "secret": "signer-secret-0123456789", "private_key": PRIVATE},
        "globex": {"project": "globex", "secret": GLOBEX},
        "short": {"project": "acme", "secret": "short-0123456789"},
        "boss": {"project": "acme", "secret": "operator-secret-0123456789-abcdefg", "operator": True},
    },
}
"""For the section `auth`."""
SECRETS = {name: str(key["secret"]) for name, key in AUTH["api_keys"].items()}


def by_key(name: str) -> dict[str, str]:
    """Headers of a caller with that API key."""
    return {"Authorization": f"Bearer {name}.{SECRETS[name]}"}


def by_token(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def settings(**changes: Any) -> AuthConfig:
    return AuthConfig.model_validate({**AUTH, **changes})


def ring() -> KeyRing:
    return KeyRing(read_keys(settings()))


def token_of(key: str = "acme", *, subject: str | None = "caller", ttl_s: int = 600, **grants: Any) -> str:
    """A good one."""
    found = ring().get(key)
    assert found is not None
    return mint(found, Grants(**grants), settings().tokens, ttl_s=ttl_s, subject=subject).token


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a good token of the key `acme`, with changes; None takes one out."""
    now = int(time.time())
    good = {
        "iss": "acme", "sub": "caller", "aud": "antiphon", "iat": now, "nbf": now, "exp": now + 600, "jti": "1",
        "grants": {},
    }  # fmt: skip
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def signed(body: dict[str, Any], secret: str = ACME, *, alg: str = "HS256", kid: Any = "acme", **headers: Any) -> str:
    """A token signed by PyJWT as one likes."""
    return jwt.encode(body, secret, algorithm=alg, headers={"kid": kid, **headers})


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def raw(header: Any, body: Any, signature: bytes = b"") -> str:
    """A token put together by hand."""
    return f"{part(header)}.{part(body)}.{part(signature)}"


def wrong_tokens() -> dict[str, tuple[str, str]]:
    """Tokens that must not be taken: by name, the token and the reason's word."""
    now = int(time.time())
    good = token_of()
    header, body, signature = good.split(".")
    return {
        "expired": (signed(claims(iat=now - 700, nbf=now - 700, exp=now - 100)), "expired"),
        "not valid yet": (signed(claims(nbf=now + 300)), "not_yet"),
        "issued in the future": (signed(claims(iat=now + 300)), "not_yet"),
        "another's signature": (signed(claims(), GLOBEX), "signature"),
        "a changed claim": (f"{header}.{part(claims(sub='boss'))}.{signature}", "signature"),
        "a cut signature": (f"{header}.{body}.{part(b'x' * 30)}", "signature"),
        "no signature": (f"{header}.{body}.", "signature"),
        "alg none": (raw({"alg": "none", "kid": "acme"}, claims()), "algorithm"),
        "alg None": (raw({"alg": "None", "kid": "acme"}, claims()), "algorithm"),
        "no alg": (raw({"kid": "acme"}, claims()), "algorithm"),
        "alg HS512 with the right secret": (_by_hmac({"alg": "HS512", "kid": "acme"}, ACME, "sha512"), "algorithm"),
        "HS256 for a key of EdDSA": (signed(claims(), SECRETS["signer"] * 2, kid="signer"), "algorithm"),
        "EdDSA for a key of HS256": (signed(claims(), PRIVATE, alg="EdDSA"), "algorithm"),
        "HS256 with the public key as its secret": (_by_hmac({"alg": "HS256", "kid": "signer"}, PUBLIC), "algorithm"),
        "an unknown key": (signed(claims(), kid="nobody"), "unknown_key"),
        "no kid": (raw({"alg": "HS256"}, claims()), "unknown_key"),
        "a kid that is a list": (raw({"alg": "HS256", "kid": ["acme"]}, claims()), "malformed"),
        "a key with too short a secret": (signed(claims(), OTHER, kid="short"), "unknown_key"),
        "another project's issuer": (signed(claims(iss="globex")), "issuer"),
        "another audience": (signed(claims(aud="another")), "audience"),
        "several audiences": (signed(claims(aud=["antiphon", "another"])), "audience"),
        "no exp": (signed(claims(exp=None)), "claims"),
        "no sub": (signed(claims(sub=None)), "claims"),
        "no jti": (signed(claims(jti=None)), "claims"),
        "no iat": (signed(claims(iat=None)), "claims"),
        "no iss": (signed(claims(iss=None)), "claims"),
        "no aud": (signed(claims(aud=None)), "claims"),
        "an empty sub": (signed(claims(sub="")), "claims"),
        "a life too long": (signed(claims(exp=now + 10**6)), "claims"),
        "an exp in words": (signed(claims(exp=str(now + 3600))), "claims"),
        "an exp without end": (signed(claims(exp=float("inf"))), "malformed"),
        "a grant that is none": (signed(claims(grants={"everything": True})), "claims"),
        "grants that are no object": (signed(claims(grants=["agent"])), "claims"),
        "critical extensions": (signed(claims(), crit=["b64"], b64=True), "malformed"),
        "a nested header": (f"{part(b'[' * 5000)}.{body}.{signature}", "malformed"),
        "too large": (signed(claims(pad="x" * 9000)), "malformed"),
        "a header that is no JSON": (f"eyJh.{body}.{signature}", "malformed"),
    }


def _by_hmac(header: dict[str, str], secret: str, digest: str = "sha256") -> str:
    """What PyJWT would not sign: it knows that a PEM is no secret (RFC 8725, section 2.1)."""
    text = f"{part(header)}.{part(claims())}"
    return f"{text}.{part(hmac.new(secret.encode(), text.encode(), digest).digest())}"
