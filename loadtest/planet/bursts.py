"""Bursts: many calls in a moment in which everybody sees the same loads, and what best-of-two choices are good for."""

from __future__ import annotations

from random import Random

from antiphon.cluster import EdgeRecord
from antiphon.placement import Evidence, Place, policies_named, rank_edges

EDGES = 8
CAPACITY = 1000
SIZES = (50, 100, 200, 400, 800, 1600, 3200)
"""Calls between two readings of the loads."""
_ROUNDS = 10

Row = dict[str, str]


def uneven(size: int, random: Random, *, spread: bool) -> float:
    """The fullest of equal edges over their mean, less 1, after a burst. Without `spread` all go to the emptiest."""
    policies, evidence = policies_named("nearest"), Evidence(Place(50.1, 8.7), "")
    edges = [
        EdgeRecord(f"edge-{i}", "frankfurt", 50.1, 8.7, "", (), CAPACITY, sessions=random.randint(180, 220))
        for i in range(EDGES)
    ]
    loads = {edge.id: edge.sessions for edge in edges}
    emptiest = min(edges, key=lambda edge: edge.sessions).id
    for _ in range(size):
        possible = rank_edges(policies, evidence, edges, random).possible if spread else [emptiest]
        chosen = next((name for name in [*possible, *loads] if loads[name] < CAPACITY), None)
        if chosen is None:
            break
        loads[chosen] += 1
    return max(loads.values()) * EDGES / sum(loads.values()) - 1


def table(seed: int) -> list[Row]:
    random = Random(seed)
    rows = []
    for size in SIZES:
        both = {
            name: sum(uneven(size, random, spread=spread) for _ in range(_ROUNDS)) / _ROUNDS
            for name, spread in (("emptiest", False), ("best_of_two", True))
        }
        rows.append({"burst": str(size), **{name: f"{value:.4f}" for name, value in both.items()}})
    return rows
