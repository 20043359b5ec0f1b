"""The span of a request that makes or moves a session: the root of its trace, or a child of the caller's own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from antiphon.errors import AntiphonError
from antiphon.signaling.problems import Problem, problem_of
from antiphon.spans import TRACEPARENT, TRACESTATE, handed_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import Request

    from antiphon.spans import Span, Tracing


@contextmanager
def traced(tracing: Tracing, request: Request, route: str, *, session: str = "") -> Iterator[Span]:
    """Stands open while a request is answered that was let in. Of refusals only those of 5xx are failures."""
    parent = handed_in(*(request.headers.getlist(name) for name in (TRACEPARENT, TRACESTATE)))
    method, name = request.method, f"{request.method} {route}"
    with tracing.span(name, parent, root=True, kind="server", method=method, route=route, session=session) as span:
        try:
            yield span
        except (AntiphonError, Problem) as error:
            problem = error if isinstance(error, Problem) else problem_of(error)
            span.tell(status=problem.status, error=problem.code)
            span.end(problem.code if problem.status >= 500 else "")
            raise problem from error
