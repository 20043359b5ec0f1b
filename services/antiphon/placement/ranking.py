"""Ranks candidates by a policy and says of each, in words, why it stands where it stands. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from antiphon.cluster import EdgeRecord, WorkerRecord
from antiphon.placement.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Score = tuple[float, str]
"""Lower is better; and why, in words."""
Policy = Callable[[EdgeRecord, Evidence], Score]
"""Judges one edge that could take the session."""


@dataclass(frozen=True)
class Choice:
    """One candidate."""

    id: str
    why: str
    possible: bool
    region: str = ""


@dataclass(frozen=True)
class Ranking:
    """All candidates, the possible ones first and the best of them at the head."""

    choices: tuple[Choice, ...]

    @property
    def possible(self) -> list[str]:
        return [choice.id for choice in self.choices if choice.possible]

    def explain(self, chosen: str, refused: Mapping[str, str]) -> list[dict[str, Any]]:
        """For the API: each candidate with its reason; `refused` is what the claim found out later."""
        return [
            {
                "id": choice.id,
                **({"region": choice.region} if choice.region else {}),
                "chosen": choice.id == chosen,
                "why": f"{refused[choice.id]} when asked; {choice.why}" if choice.id in refused else choice.why,
            }
            for choice in self.choices
        ]


def rank_edges(policy: Policy, evidence: Evidence, edges: Sequence[EdgeRecord]) -> Ranking:
    """Orders edges by the policy's score, equal ones by id."""
    scored: list[tuple[float, Choice]] = []
    for edge in edges:
        obstacle = _obstacle(edge)
        score, why = (0.0, obstacle) if obstacle else policy(edge, evidence)
        scored.append((score, Choice(edge.id, why, not obstacle, edge.region)))
    return _ranking(scored)


def rank_workers(agent: str, workers: Sequence[WorkerRecord]) -> Ranking:
    """Orders workers that have the agent by their load; the others are not listed."""
    scored: list[tuple[float, Choice]] = []
    for worker in workers:
        if agent in worker.agents:
            obstacle = _obstacle(worker)
            scored.append((load(worker), Choice(worker.id, obstacle or load_in_words(worker), not obstacle)))
    return _ranking(scored)


def load(member: EdgeRecord | WorkerRecord) -> float:
    """Sessions for each place: 0 is idle, 1 is full."""
    return member.sessions / member.capacity


def load_in_words(member: EdgeRecord | WorkerRecord) -> str:
    return f"{member.sessions} of {member.capacity} places taken"


def _obstacle(member: EdgeRecord | WorkerRecord) -> str:
    if member.draining:
        return "draining"
    if member.sessions < member.capacity:
        return ""
    kind = "edge" if isinstance(member, EdgeRecord) else "worker"
    return f"full: {kind}.capacity is {member.capacity}"


def _ranking(scored: list[tuple[float, Choice]]) -> Ranking:
    scored.sort(key=lambda pair: (not pair[1].possible, pair[0], pair[1].id))
    return Ranking(tuple(choice for _, choice in scored))
