"""Documents of turns' latency traces; docs/latency.md defines the stages."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from antiphon.signaling.models import Next  # noqa: TC001 - pydantic reads it

_EXAMPLE: Any = {
    "turn": 1,
    "outcome": "answered",
    "started_ms": 620.0,
    "ended_ms": 2410.0,
    "ended_by": "end_of_turn",
    "probability": 0.97,
    "response_ms": 743.1,
    "played_by": "device",
    "stages": [
        {"stage": "received", "at_ms": 31.2, "took_ms": 31.2},
        {"stage": "detected", "at_ms": 214.0, "took_ms": 182.8},
        {"stage": "committed", "at_ms": 331.5, "took_ms": 117.5},
        {"stage": "transcript", "at_ms": 331.5, "took_ms": 0.0},
        {"stage": "token", "at_ms": 452.0, "took_ms": 120.5},
        {"stage": "frame", "at_ms": 560.3, "took_ms": 108.3},
        {"stage": "sent", "at_ms": 562.1, "took_ms": 1.8},
        {"stage": "arrived", "at_ms": 580.1, "took_ms": 18.0},
        {"stage": "played", "at_ms": 663.1, "took_ms": 83.0},
        {"stage": "sounded", "at_ms": 743.1, "took_ms": 80.0},
    ],
    "marks": {"searched": 340.2},
}


class StageDocument(BaseModel):
    """A part of the time between the caller's last sound and the answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    stage: str
    """received, detected, committed, transcript, token, frame, sent, arrived, played, sounded."""
    at_ms: float
    """When it ended, from the caller's last sound."""
    took_ms: float
    """How long it took: these add up to the whole."""


class TurnDocument(BaseModel):
    """A turn that the agent's code was asked to answer, and where the time went."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra={"examples": [_EXAMPLE]})

    turn: int
    """Counted from 1."""
    outcome: str
    """answered, silent (nothing was said), unheard (cut before it was heard), withdrawn, closed."""
    started_ms: float | None
    """When the caller's voice began, in session time: since the caller's first frame."""
    ended_ms: float | None
    """When it ended."""
    ended_by: str | None
    """end_of_turn, silence, words, command, longest."""
    probability: float | None
    """What the end-of-turn model said last."""
    response_ms: float | None
    """From the caller's last sound to the agent's first at the caller's ear; absent where there was none."""
    played_by: str | None
    """How the last stages are known: by the caller's device, or an estimate."""
    stages: list[StageDocument]
    """In order."""
    marks: dict[str, float]
    """What the agent's code marked besides, in milliseconds from the caller's last sound."""


class TurnList(BaseModel):
    """A session's turns, the oldest first."""

    session: str
    turns: list[TurnDocument]
    next: Next = None
