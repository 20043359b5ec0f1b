"""Routes for who wants to know where callers go and why: regions with their probes, and a placement explained."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response

from antiphon.placement import Origin
from antiphon.signaling.gate import Asking  # noqa: TC001 - FastAPI reads annotations
from antiphon.signaling.models import DEFAULT_AGENT
from antiphon.signaling.openapi import body_of, problems_of
from antiphon.signaling.paging import PageQuery, linked, page_of
from antiphon.signaling.placement_models import ExplainPlacement, PlacementExplained, RegionDocument, RegionList
from antiphon.signaling.requests import JSON, media_type, origin, read_body, read_json, read_text
from antiphon.signaling.survey import Wish

if TYPE_CHECKING:
    from antiphon.cluster import Cluster
    from antiphon.config import SignalingConfig
    from antiphon.signaling.survey import Surveyor

_REGIONS_S = 1.0


def placement_routes(config: SignalingConfig, cluster: Cluster, surveyor: Surveyor) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["placement"], responses=problems_of(_503="unavailable"))

    @router.get(
        "/regions",
        summary="List regions, with probes to measure the round trip to each",
        description="A client measures in parallel, for no longer than 150 ms, and sends what it found as `rtts` with "
        "its offer: no other evidence is as good.",
    )
    async def list_regions(request: Request, response: Response, query: Annotated[PageQuery, Query()]) -> RegionList:
        edges = sorted((await cluster.recent_members(within_s=_REGIONS_S)).edges, key=lambda edge: edge.region)
        regions = [RegionDocument.of(name, list(group)) for name, group in groupby(edges, key=lambda edge: edge.region)]
        page, following = page_of(regions, query, lambda region: region.name)
        return RegionList(
            regions=page, next=linked(request, response, following), regions_away=list(cluster.regions_away)
        )

    @router.post(
        "/placements:explain",
        summary="Explain where a caller would be placed, and why: every candidate with its evidence and cost",
        description="Nothing is claimed. Chance breaks ties, so the next call's answer may be another.",
        responses=problems_of(
            _400="bad_request",
            _404="unknown_agent",
            _409="room_conflict",
            _413="too_large",
            _415="unsupported_media_type",
            _503="unavailable, no_worker: none is there",
        ),
        openapi_extra=body_of({JSON: ExplainPlacement}),
    )
    async def explain_placement(request: Request, who: Asking) -> PlacementExplained:
        media_type(request, JSON)
        asked = read_json(ExplainPlacement, read_text(await read_body(request, config.max_body_bytes)))
        wish = Wish(
            offer="",
            agent=asked.agent or ("" if asked.room else DEFAULT_AGENT),
            room=asked.room or "",
            region=asked.region,
            measured=asked.rtts,
            project=who.project,
            origin=Origin(asked.ip) if asked.ip else origin(request, config.geoip),
        )
        return await _explained(surveyor, wish)

    return router


async def _explained(surveyor: Surveyor, wish: Wish) -> PlacementExplained:
    survey = await surveyor.survey(wish, within_s=0.0)
    edge = next(iter(survey.edges.possible), "")
    workers = survey.workers(edge)
    if not workers.choices:
        survey.require_workers()  # an agent that nobody has is a mistake; a full one is an answer
    worker = next(iter(workers.possible), "")
    found = survey.membership.edge(edge)
    return PlacementExplained(
        edge=edge or None,
        region=found.region if found else None,
        worker=worker or None,
        placement=survey.explain(workers=workers, edge=edge, worker=worker),
    )
