"""Ranks candidates by the sum of policies' costs and says of each why it stands where it stands. Pure, without I/O.

Candidates within a few milliseconds of the best are equally good. Of two of them taken at random the emptier comes
first (the power of two choices): a burst of callers who all see the same loads spreads over them instead of piling up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from antiphon.placement.members import load, load_in_words, obstacle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from antiphon.cluster import EdgeRecord, WorkerRecord
    from antiphon.placement.evidence import Evidence

EQUAL_MS = 2.0
"""Costs that differ by less are equal: no round trip is known better."""
_FULL_WORKER_MS = 30.0


@dataclass(frozen=True)
class Policy:
    """One reason to prefer an edge to another."""

    name: str
    cost: Callable[[EdgeRecord, Evidence], float]
    """Milliseconds; lower is better."""
    why: Callable[[EdgeRecord, Evidence], str]
    """The same in words; empty where there is nothing to say."""


class Choice(NamedTuple):
    """One candidate. A tuple: there is one for each edge of the planet in each placement."""

    id: str
    possible: bool
    cost_ms: float
    obstacle: str = ""
    region: str = ""
    tied: bool = False
    """Equally good as the best, so that chance and load decided."""
    tell: Callable[[], dict[str, Any]] = dict
    """What a document says of it besides: put into words only where somebody asks."""

    @property
    def why(self) -> str:
        return self.obstacle or str(self.tell().get("why", ""))


@dataclass(frozen=True)
class Ranking:
    """All candidates, the possible ones first and the best of them at the head."""

    choices: tuple[Choice, ...]

    @property
    def possible(self) -> list[str]:
        return [choice.id for choice in self.choices if choice.possible]

    def explain(self, chosen: str, refused: Mapping[str, str], most: int | None = None) -> list[dict[str, Any]]:
        """For the API: the first `most` candidates, and of the others the chosen and refused ones, with reasons.

        `refused` is what the claim found out later.
        """
        told = [
            (place, choice)
            for place, choice in enumerate(self.choices)
            if most is None or place < most or choice.id == chosen or choice.id in refused
        ]
        return [_document(place, choice, chosen, refused.get(choice.id)) for place, choice in told]


def rank_edges(policies: Sequence[Policy], evidence: Evidence, edges: Sequence[EdgeRecord], random: Random) -> Ranking:
    """Orders edges by cost, equally good ones by chance and load."""
    costs = [policy.cost for policy in policies]

    def choice(edge: EdgeRecord) -> Choice:
        wrong, cost = obstacle(edge), 0.0
        for cost_of in costs:
            cost += cost_of(edge, evidence)
        return Choice(edge.id, not wrong, cost, wrong, edge.region, tell=lambda: _terms(policies, edge, evidence))

    return _ranking([(choice(edge), load(edge)) for edge in edges], random)


def rank_workers(
    agent: str, workers: Sequence[WorkerRecord], random: Random, links: Mapping[str, float] | None = None
) -> Ranking:
    """Orders workers that have the agent by load and, where `links` tells them, round trips (ms) from the edge.

    A worker whose link is not measured counts as the farthest that is; workers without the agent are not listed.
    """
    farthest = max((links or {}).values(), default=0.0)

    def choice(worker: WorkerRecord) -> Choice:
        wrong = obstacle(worker)
        trip = (links or {}).get(worker.id)
        cost = worker_load_ms(worker) + (farthest if trip is None else trip)
        return Choice(worker.id, not wrong, cost, wrong, tell=lambda: {"why": _worker_words(worker, trip)})

    return _ranking([(choice(worker), load(worker)) for worker in workers if agent in worker.agents], random)


def worker_load_ms(worker: WorkerRecord) -> float:
    return _FULL_WORKER_MS * load(worker) ** 3


def _ranking(found: list[tuple[Choice, float]], random: Random) -> Ranking:
    """found: each with its load."""
    able = sorted((pair for pair in found if pair[0].possible), key=lambda pair: (pair[0].cost_ms, pair[0].id))
    unable = sorted((pair[0] for pair in found if not pair[0].possible), key=lambda choice: (choice.cost_ms, choice.id))
    ties = next(
        (at for at, (choice, _) in enumerate(able) if choice.cost_ms > able[0][0].cost_ms + EQUAL_MS), len(able)
    )
    if ties < 2:
        return Ranking((*(choice for choice, _ in able), *unable))
    tied = able[:ties]
    first = min(random.sample(tied, 2), key=lambda pair: pair[1])  # of equals the one drawn first
    others = sorted((pair for pair in tied if pair is not first), key=lambda pair: (pair[1], pair[0].id))
    ordered = [choice._replace(tied=True) for choice, _ in (first, *others)] + [choice for choice, _ in able[ties:]]
    return Ranking((*ordered, *unable))


def _terms(policies: Sequence[Policy], edge: EdgeRecord, evidence: Evidence) -> dict[str, Any]:
    terms = [(policy.name, policy.cost(edge, evidence), policy.why(edge, evidence)) for policy in policies]
    return {
        "latitude": edge.latitude,
        "longitude": edge.longitude,
        "why": "; ".join(words for _, _, words in terms if words),
        "terms": [{"policy": name, "ms": round(ms, 1), "why": words} for name, ms, words in terms if words or ms],
    }


def _worker_words(worker: WorkerRecord, trip_ms: float | None) -> str:
    return load_in_words(worker) + ("" if trip_ms is None else f", {trip_ms:.1f} ms from the edge")


def _document(place: int, choice: Choice, chosen: str, refused: str | None) -> dict[str, Any]:
    told = choice.tell()
    why = f"{choice.obstacle}; {told['why']}" if choice.obstacle else told["why"]
    if refused is not None:
        why = f"{refused} when asked; {why}"
    elif choice.tied and place == 0:
        why += "; the emptier of two equally good ones taken at random"
    elif choice.tied:
        why += "; as good as the best, left to chance and load"
    return {
        **told,
        "id": choice.id,
        **({"region": choice.region} if choice.region else {}),
        "chosen": choice.id == chosen,
        "possible": choice.possible and refused is None,
        "rank": place + 1,
        "cost_ms": round(choice.cost_ms, 1),
        "why": why,
    }
