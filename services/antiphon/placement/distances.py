"""Which worker each edge would use, and how far it is: worked out once for each membership, however many ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.config_auth import DEFAULT_PROJECT
from antiphon.placement.evidence import Link
from antiphon.placement.members import obstacle
from antiphon.placement.ranking import worker_load_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiphon.cluster import EdgeRecord, Membership, WorkerRecord


class Distances:
    """Remembers the answers for the last membership that was asked about."""

    def __init__(self) -> None:
        self._membership: Membership | None = None
        self._by_agent: dict[tuple[str, str], dict[str, Link]] = {}

    def links(self, agent: str, membership: Membership, project: str = DEFAULT_PROJECT) -> Mapping[str, Link]:
        """By edge id, for edges that have a worker to use: one that serves the project."""
        if membership is not self._membership:
            self._membership, self._by_agent = membership, {}
        if (agent, project) not in self._by_agent:
            serving = [worker for worker in membership.workers if worker.serves(project)]
            workers = [worker for worker in serving if agent in worker.agents and not obstacle(worker)]
            self._by_agent[agent, project] = {edge.id: _nearest(edge, workers) for edge in membership.edges if workers}
        return self._by_agent[agent, project]


def _nearest(edge: EdgeRecord, workers: list[WorkerRecord]) -> Link:
    """The one that would answer soonest, as far as links are measured."""
    measured = [worker for worker in workers if worker.id in edge.links]
    if not measured:
        return Link(workers[0].id, None)
    best = min(measured, key=lambda worker: (edge.links[worker.id] + worker_load_ms(worker), worker.id))
    return Link(best.id, edge.links[best.id])
