"""What schemathesis, which loads this by name, does besides: it writes SDP as it is, and takes back its own drains."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis

_TEXTS = ("application/sdp", "application/trickle-ice-sdpfrag")
_PATIENCE_S = 30


@schemathesis.serializer(*_TEXTS)  # type: ignore[untyped-decorator]
def as_it_is(ctx: Any, value: Any) -> bytes:  # noqa: ANN401, ARG001 - as schemathesis calls it
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook  # type: ignore[untyped-decorator]
def filter_case(ctx: Any, case: Any) -> bool:  # noqa: ANN401, ARG001 - as schemathesis calls it
    """A body of text is a string, whatever stands in it: `[]` is not one of another type, as it would be in JSON."""
    return case.media_type not in _TEXTS or not isinstance(case.body, list | dict | bool | int | float | None)


@schemathesis.hook  # type: ignore[untyped-decorator]
def after_call(ctx: Any, case: Any, response: Any) -> None:  # noqa: ANN401, ARG001 - as schemathesis calls it
    """An only edge that drains has each new session refused with 503, as it must: every request after would be."""
    url = urlsplit(str(response.request.url))
    if response.status_code == requests.codes.ok and url.path.endswith(":drain"):
        taken_back = url._replace(path=url.path.removesuffix("drain") + "undrain", query="").geturl()
        headers = {name: value for name, value in response.request.headers.items() if name.lower() == "authorization"}
        requests.post(taken_back, headers=headers, timeout=_PATIENCE_S).raise_for_status()
