"""Registration, authenticated: members sign what they register, and nobody believes a record that is not signed.

Whoever can write to Redis could otherwise add a worker, and hear the calls that are sent to it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LABEL = b"antiphon member record v1"


class Seals:
    """Signs with the first secret and takes all of them; without any, nothing is signed and all is taken."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._keys = [hmac.new(secret.encode(), _LABEL, hashlib.sha256).digest() for secret in secrets]

    def sign(self, kind: str, record: str) -> str:
        """record: a JSON object. Returns it with its signature as one more member."""
        if not self._keys:
            return record
        values = json.loads(record)
        return _text({**values, "seal": _seal(self._keys[0], kind, values)})

    def holds(self, kind: str, record: str) -> bool:
        """Whether a record was signed for this kind of member by somebody who has one of the secrets."""
        if not self._keys:
            return True
        try:
            values = json.loads(record)
            seal = values.pop("seal", None)
        except (ValueError, AttributeError, TypeError, RecursionError):
            return False
        if not isinstance(seal, str) or not seal.isascii():
            return False
        return any(hmac.compare_digest(seal, _seal(key, kind, values)) for key in self._keys)


def _seal(key: bytes, kind: str, values: dict[str, object]) -> str:
    return hmac.new(key, f"{kind} {_text(values)}".encode(), hashlib.sha256).hexdigest()


def _text(values: dict[str, object]) -> str:
    return json.dumps(values, sort_keys=True)
