"""The keys that are valid now. A key's algorithm is its own: a token cannot choose another."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from antiphon.access.identity import Identity
from antiphon.config_auth import LEAST_SIGNING_SECRET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiphon.config_auth import ApiKey

Algorithm = Literal["EdDSA", "HS256"]


@dataclass(frozen=True)
class Key:
    """One API key. What is secret in it stays out of its `repr`."""

    id: str
    project: str
    operator: bool = False
    secret: str = field(default="", repr=False)
    private: Ed25519PrivateKey | None = field(default=None, repr=False)
    public: Ed25519PublicKey | None = field(default=None, repr=False)

    @property
    def algorithm(self) -> Algorithm:
        return "EdDSA" if self.public is not None else "HS256"

    @property
    def verifying(self) -> Ed25519PublicKey | bytes | None:
        """What this key's tokens are checked with; None where its secret is too short for that (RFC 7518, 3.2)."""
        return self.public or self._hmac_key()

    @property
    def signing(self) -> Ed25519PrivateKey | bytes | None:
        """What this key signs tokens with; None where it has nothing to do so."""
        return self.private if self.public is not None else self._hmac_key()

    def identity(self) -> Identity:
        return Identity(self.project, self.id, self.operator)

    def _hmac_key(self) -> bytes | None:
        encoded = self.secret.encode()
        return encoded if len(encoded) >= LEAST_SIGNING_SECRET else None

    @classmethod
    def of(cls, key_id: str, settings: ApiKey) -> Key:
        """Raises ValueError where a PEM is no Ed25519 key, or its two halves are not one pair."""
        private = _private(settings.private_key.get_secret_value())
        public = _public(settings.public_key) if settings.public_key else None
        if private is not None:
            own = private.public_key()
            if public is not None and public.public_bytes_raw() != own.public_bytes_raw():
                raise ValueError(f"key {key_id}: public_key and private_key are not of one pair")
            public = own
        return cls(key_id, settings.project, settings.operator, settings.secret.get_secret_value(), private, public)


class KeyRing:
    """Keys by id. `replace` takes effect with the next request."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self._keys = dict(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def replace(self, keys: Mapping[str, Key]) -> None:
        self._keys = dict(keys)

    def get(self, key_id: str) -> Key | None:
        return self._keys.get(key_id)

    def ids(self) -> list[str]:
        return sorted(self._keys)

    def holder(self, bearer: str) -> Key | None:
        """The key that `<id>.<secret>` is of. Takes as long for a wrong secret as for an unknown id."""
        name, _, secret = bearer.partition(".")
        known = self._keys.get(name)
        expected = known.secret if known is not None and known.secret else "\0"
        same = hmac.compare_digest(secret.encode(), expected.encode())
        return known if same and known is not None and known.secret else None


def _private(pem: str) -> Ed25519PrivateKey | None:
    if not pem:
        return None
    try:
        found = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        found = None  # its words may hold parts of the key
    if not isinstance(found, Ed25519PrivateKey):
        raise ValueError(  # noqa: TRY004 - it came as text
            "private_key is no Ed25519 key in PEM: make one with `openssl genpkey -algorithm ed25519`"
        )
    return found


def _public(pem: str) -> Ed25519PublicKey:
    try:
        found = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, Ed25519PublicKey):
        raise ValueError(  # noqa: TRY004
            "public_key is no Ed25519 key in PEM: `openssl pkey -pubout` prints it"
        )
    return found
