"""Callers at a loudspeaker without echo cancellation, who say nothing: how often the agent
interrupts itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.support.loudspeaker import at_a_loudspeaker

from antiphon.client import Caller
from loadtest.measuring import servers

LOSSES_DB = (10.0, 20.0, 30.0)
"""How much softer the voice comes back."""
LEARNING_S = 5.0
"""So much of the agent's voice may pass before the echo is known."""


@dataclass(frozen=True)
class Echoed:
    """One call."""

    loss_db: float
    heard_s: float
    """Of the agent's speech."""
    cut_at_s: tuple[float, ...]
    """Seconds of the agent's speech that had been heard at each interruption."""


async def listen(url: str, agent: str, loss_db: float, seconds: float) -> Echoed:
    """One call that lasts so long."""
    async with Caller(url, agent=agent, region=servers.REGION) as call, asyncio.TaskGroup() as group:
        at_a_loudspeaker(call, loss_db, group)
        await asyncio.sleep(seconds)
        cuts = [
            one.ended for one in call.journal.utterances.values() if one.state == "flushed" and one.ended is not None
        ]
        cut_at_s = tuple(_audible_s(call, until) for until in sorted(cuts))
        heard_s = _audible_s(call, call.now())
        await call.hang_up()
    return Echoed(loss_db, heard_s, cut_at_s)


def _audible_s(call: Caller, until: float) -> float:
    """How much of the agent's speech had been heard by then."""
    return sum(max(0.0, min(one.end, until) - one.begin) for one in call.hearing.stretches)


def table(found: list[Echoed]) -> str:
    """Interruptions a minute of the agent's speech, before and after it knows its echo."""
    lines = [
        f"| echo softer by | calls | interruptions in the first {LEARNING_S:.0f} s of speech | later, a minute |",
        "|---|---|---|---|",
    ]
    for loss_db in sorted({one.loss_db for one in found}):
        calls = [one for one in found if one.loss_db == loss_db]
        early = sum(at_s < LEARNING_S for one in calls for at_s in one.cut_at_s)
        late = sum(len(one.cut_at_s) for one in calls) - early
        minutes = sum(max(0.0, one.heard_s - LEARNING_S) for one in calls) / 60
        told = f"{late / minutes:.2f}" if minutes else "-"
        lines.append(f"| {loss_db:.0f} dB | {len(calls)} | {early / len(calls):.1f} a call | {told} |")
    return "\n".join(lines) + "\n"
