"""Kinds of callers, and how many there are of each. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Persona:
    """How a caller behaves. Times are in seconds."""

    name: str
    speaks: bool = True
    """Says something, listens to the answer, and so on; else it keeps silent, in DTX."""
    interrupts: bool = False
    """Speaks over the agent."""
    roams_each_s: float | None = None
    """Takes another address so often, in mid-call."""
    impairment: tuple[float, float, float] | None = None
    """Of its network, in each direction: delay and jitter in ms, share of packets lost."""


PERSONAS = {
    persona.name: persona
    for persona in (
        Persona("talker"),
        Persona("listener", speaks=False),
        Persona("interrupter", interrupts=True),
        Persona("roamer", roams_each_s=10.0),
        Persona("flaky", impairment=(40.0, 30.0, 0.03)),
    )
}
DEFAULT_MIX = "talker=1,listener=9"


def mix_of(text: str) -> dict[str, int]:
    """`talker=1,listener=9` as weights by persona. Raises ValueError."""
    weights: dict[str, int] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        if name not in PERSONAS:
            raise ValueError(f"mix: there is no persona {name!r}; expected some of {', '.join(PERSONAS)}")
        if name in weights:
            raise ValueError(f"mix: {name} is named twice")
        if weight and not weight.isdecimal():
            raise ValueError(f"mix: {weight!r} is no weight of {name}; expected a whole number, as in {DEFAULT_MIX}")
        weights[name] = int(weight or 1)
    if not any(weights.values()):
        raise ValueError("mix: nobody would call")
    return weights
