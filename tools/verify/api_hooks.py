"""How schemathesis writes SDP and its fragments into a request: as they are. It loads this by name."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")  # type: ignore[untyped-decorator]
def as_it_is(ctx: Any, value: Any) -> bytes:  # noqa: ANN401, ARG001 - as schemathesis calls it
    return value if isinstance(value, bytes) else str(value).encode()
