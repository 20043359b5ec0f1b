"""Every error that Antiphon shows to a person.

AntiphonError                what happened, what was expected, what to do: one sentence
├── ConfigError              a setting is wrong; the CLI exits with 2
├── BadRequestError          the caller's input is wrong (HTTP 400)
│   └── BadOfferError        ... an SDP offer, at a line
├── UnavailableError         try again later (503, Retry-After)
│   ├── NoEdgeError
│   ├── NoWorkerError
│   └── RoomSettledError     another first member of a room was quicker
├── TokenError               a session token is not accepted (401)
├── ForbiddenError           known, but not allowed to do this (403)
├── OverLimitError           too many requests or sessions (429, Retry-After)
├── UnknownAgentError        (404)
├── UnknownSessionError      (404)
├── UnknownRoomError         (404)
├── UnknownMemberError       (404)
├── UnknownRecordingError    (404)
├── RoomConflictError        the room has another agent (409)
└── StaleEpochError          an older owner speaks (409)
"""

from __future__ import annotations


class AntiphonError(Exception):
    """Base of all errors with a message for people."""


class ConfigError(AntiphonError):
    """A setting is wrong."""


class BadRequestError(AntiphonError):
    """The caller's input is wrong."""


class BadOfferError(BadRequestError):
    """An SDP offer cannot be answered. `line` counts from 1; 0 when the whole is meant."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class TokenError(AntiphonError):
    """A session token is not accepted. `reason` is one of few words, for metrics."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ForbiddenError(AntiphonError):
    """We know who asks, and that they may not do this."""


class OverLimitError(AntiphonError):
    """Too much for one caller; try again after `retry_after` seconds. `what` names the limit, for programs."""

    def __init__(self, message: str, *, what: str, retry_after: float) -> None:
        super().__init__(message)
        self.what = what
        self.retry_after = retry_after


class UnknownAgentError(AntiphonError):
    """No live worker has this agent."""


class UnknownSessionError(AntiphonError):
    """There is no such session, or its record has expired."""


class UnknownRoomError(AntiphonError):
    """There is no such room: nobody is in it."""


class UnknownMemberError(AntiphonError):
    """No such edge or worker lives."""


class UnknownRecordingError(AntiphonError):
    """The session has no recording that is in reach."""


class RoomConflictError(AntiphonError):
    """The room has another agent."""


class StaleEpochError(AntiphonError):
    """A newer owner has this session."""


class UnavailableError(AntiphonError):
    """Nothing is wrong with the request; try again after `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float = 2.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoEdgeError(UnavailableError):
    """No edge has room."""


class NoWorkerError(UnavailableError):
    """No worker has room."""


class RoomSettledError(UnavailableError):
    """Somebody else began the room at this moment: look where it is, and join it there."""
