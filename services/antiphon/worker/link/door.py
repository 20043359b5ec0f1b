"""Who may open a link where members sign with `registration_secrets`: an edge that has signed this very opening.

`crates/link/src/credentials.rs` is the other side. TLS is the server's business.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SEAL = "antiphon-link-seal"
"""The metadata that an edge opens each stream of a link with: seconds since 1970, a dot, and the signature."""
AGE_S = 60
"""A signature is good for so long, whatever the two clocks differ by."""
_LABEL = b"antiphon link 1"
_FORM = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


class Door:
    """Takes what any of the secrets signed, and everything where there is none."""

    def __init__(self, worker: str, secrets: Sequence[str] = ()) -> None:
        self._worker = worker
        self._keys = [hmac.digest(secret.encode(), _LABEL, hashlib.sha256) for secret in secrets]

    def admits(self, edge: str, link: int, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """edge: as it calls itself; link: the id that it gave the link."""
        if not self._keys:
            return True
        shown = [value for name, value in metadata if name == SEAL]
        form = _FORM.fullmatch(shown[0]) if len(shown) == 1 and isinstance(shown[0], str) else None
        if form is None or abs(time.time() - int(form[1])) > AGE_S:
            return False
        signed = f"{edge} {self._worker} {link} {form[1]}".encode()
        return any(hmac.compare_digest(form[2], hmac.digest(key, signed, hashlib.sha256).hex()) for key in self._keys)
