"""What can go wrong with a call, in words.

CallError
├── CallRefusedError    signaling said no; `status` is its HTTP status, 0 when nobody answered
└── CallEndedError      the call is over; `reason` says why, as far as known
"""

from __future__ import annotations

from antiphon.errors import AntiphonError


class CallError(AntiphonError):
    """A call did not work."""


class CallRefusedError(CallError):
    """There is no call: signaling refused it, or was not there."""

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class CallEndedError(CallError):
    """The call ended while something was still to be done with it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the call has ended: {reason}")
        self.reason = reason
