"""What is left to try while a session is placed, and what was learned of the edges and workers that were tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from antiphon import telemetry
from antiphon.errors import BadOfferError, BadRequestError, NoEdgeError, NoWorkerError, UnavailableError
from antiphon.signaling.survey import MOST_TOLD

if TYPE_CHECKING:
    from antiphon.cluster import Claim
    from antiphon.signaling.edges import EdgeRefusedError
    from antiphon.signaling.survey import Survey

_log = telemetry.get_logger("signaling")
_ATTEMPTS = 2


class Search:
    """Edges and workers not yet tried, and what was learned of those that were."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.remaining = survey.edges.possible
        self.refused: dict[str, str] = {}
        self._workers = survey.workers(self.remaining[0] if self.remaining else "")
        self._regions = {choice.id: choice.region for choice in survey.edges.choices}
        self._attempts = 0
        self._last: Exception | None = None

    def next_region(self) -> tuple[str, list[str], list[str]]:
        """Its name, its edges, and the workers in the order in which its best edge would take them."""
        region = self._regions[self.remaining[0]]
        self._workers = self.survey.workers(self.remaining[0])
        workers = [name for name in self._workers.possible if name not in self.refused]
        return region, [name for name in self.remaining if self._regions[name] == region], workers

    def avoid(self, lost: frozenset[str]) -> None:
        """The caller says that it has lost these."""
        self.refused |= {name: "lost to the caller" for name in self.remaining if name in lost}
        self.remaining = [name for name in self.remaining if name not in lost]

    def prefer(self, edge: str) -> None:
        """The session was asked to come here: nowhere else is it better off than where it is."""
        if edge:
            self.refused |= {name: "not where the session was asked to come" for name in self.remaining if name != edge}
            self.remaining = [name for name in self.remaining if name == edge]

    def without_room(self, group: list[str], error: UnavailableError, why: str = "no room") -> None:
        self.refused |= dict.fromkeys(group, why)
        self.remaining = [name for name in self.remaining if name not in group]
        self._last = self._last or error

    def failed(self, claim: Claim, error: EdgeRefusedError) -> None:
        """Another edge, or another worker where the link failed, may do better. Raises the request's own fault."""
        if error.blames_the_request:
            raise _blame(error) from None
        _log.warning("edge refused a session", edge=claim.edge.id, reason=error.reason, error=str(error))
        self._attempts += 1
        self._last = _failure(claim, error)
        others = [name for name in self._workers.possible if name not in {*self.refused, claim.worker.id}]
        if error.reason == "link_down" and others:
            self.refused[claim.worker.id] = "out of the edge's reach"
        else:
            self.refused[claim.edge.id] = error.reason.replace("_", " ")
            self.remaining = [name for name in self.remaining if name != claim.edge.id]
        if self._attempts >= _ATTEMPTS:
            self.remaining = []

    @property
    def attempt(self) -> int:
        """Which edge is asked: the first, or another after one that refused."""
        return self._attempts + 1

    def told(self, claim: Claim) -> dict[str, str | int | float | None]:
        """Of a claim, for its span."""
        costs = (choice.cost_ms for choice in self.survey.edges.choices if choice.id == claim.edge.id)
        return {
            "session": claim.session,
            "edge": claim.edge.id,
            "region": claim.edge.region,
            "worker": claim.worker.id,
            "cost_ms": next((round(cost, 1) for cost in costs), None),
            "attempt": self.attempt,
        }

    def nothing_left(self) -> Exception:
        if self._last is not None:
            return self._last
        reasons = (
            ", ".join(f"{choice.id} {self.refused.get(choice.id, choice.why)}" for choice in self.survey.edges.choices)
            or "none is there: start one with `antiphon edge`"
        )
        return NoEdgeError(f"no edge can take a session: {reasons}")

    def explain(self, claim: Claim) -> dict[str, Any]:
        return self.survey.explain(
            workers=self._workers, edge=claim.edge.id, worker=claim.worker.id, refused=self.refused, most=MOST_TOLD
        )


def _blame(error: EdgeRefusedError) -> BadRequestError:
    if error.reason != "bad_offer":
        return BadRequestError(str(error))
    line = error.metadata.get("line", "")
    expected = error.metadata.get("expected", "")
    words = f"{error}; expected {expected}" if expected else str(error)
    return BadOfferError(words, line=int(line) if line.isdigit() else 0)


def _failure(claim: Claim, error: EdgeRefusedError) -> UnavailableError:
    words = f"edge {claim.edge.id} could not take the session: {error}"
    if error.code is grpc.StatusCode.UNAVAILABLE and error.reason == "link_down":
        return NoWorkerError(words)
    return NoEdgeError(words)
