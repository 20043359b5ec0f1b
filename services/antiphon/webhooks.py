"""Signs webhooks in the manner of Standard Webhooks (standardwebhooks.com), and verifies them for who receives them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

from antiphon.errors import AntiphonError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TOLERANCE_S = 300.0
"""How far a request's timestamp may be from the receiver's clock: older ones may be replayed."""


class WebhookError(AntiphonError):
    """A request is not of who it says: answer it with 401, and do nothing."""


def headers(id_: str, body: bytes, secrets: Iterable[str], *, at: float | None = None) -> dict[str, str]:
    """The three headers of a request whose body is `body`, signed with each of the secrets (`whsec_...`)."""
    stamp = str(int(time.time() if at is None else at))
    signed = " ".join(f"v1,{base64.b64encode(_signature(secret, id_, stamp, body)).decode()}" for secret in secrets)
    return {"webhook-id": id_, "webhook-timestamp": stamp, "webhook-signature": signed}


def verify(
    body: bytes, headers: Mapping[str, str], *secrets: str, tolerance_s: float = TOLERANCE_S, at: float | None = None
) -> dict[str, Any]:
    """The event: `type`, `timestamp` and `data`. One signature by one of the secrets is enough.

    `body` is the request's as it came, `headers` any mapping. Requests may come twice: `webhook-id` tells. Raises
    WebhookError.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        id_, stamp, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise WebhookError(f"the header {error.args[0]} is missing") from None
    now = time.time() if at is None else at
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 15) or abs(now - int(stamp)) > tolerance_s:
        raise WebhookError(f"webhook-timestamp is not within {tolerance_s:.0f} s of now: check this machine's clock")
    expected = [_signature(secret, id_, stamp, body) for secret in secrets]
    if not any(hmac.compare_digest(one, other) for one in _given(signatures) for other in expected):
        raise WebhookError(
            "no signature in webhook-signature is right: check the secret, and that the body is as it came"
        )
    event = json.loads(body)
    if not isinstance(event, dict):
        raise WebhookError("the body is no event")
    return event


def _given(signatures: str) -> Iterable[bytes]:
    """Those of version 1: a receiver passes over what it does not know."""
    for signature in signatures.split(" ")[:16]:
        version, _, text = signature.partition(",")
        if version == "v1":
            try:
                yield base64.b64decode(text, validate=True)
            except ValueError:
                continue


def _signature(secret: str, id_: str, stamp: str, body: bytes) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise WebhookError("a secret is not whsec_ and base64") from None
    return hmac.new(key, f"{id_}.{stamp}.".encode() + body, hashlib.sha256).digest()
