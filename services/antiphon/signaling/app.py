"""The FastAPI app of a signaling node: what it is made of, on one screen."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from antiphon import console, telemetry
from antiphon.access import KeyWatch
from antiphon.certificates import Certificates
from antiphon.clock import SystemClock
from antiphon.cluster import Cluster
from antiphon.errors import UnavailableError
from antiphon.placement import Locator, policies_named
from antiphon.recordings import open_store
from antiphon.signaling import api, problems
from antiphon.signaling.draining import drain_routes
from antiphon.signaling.edges import Edges
from antiphon.signaling.events import event_routes
from antiphon.signaling.explaining import placement_routes
from antiphon.signaling.gate import Gate
from antiphon.signaling.moving import Mover
from antiphon.signaling.openapi import described
from antiphon.signaling.placing import Placer
from antiphon.signaling.rates import Limiter
from antiphon.signaling.rebalancing import Rebalancer, rebalance_routes
from antiphon.signaling.recordings import recording_routes
from antiphon.signaling.requests import LoopbackNames
from antiphon.signaling.rooms import Rooms, room_routes
from antiphon.signaling.sessions import Sessions
from antiphon.signaling.survey import Surveyor
from antiphon.signaling.tokens import token_routes
from antiphon.signaling.webhooks import deliver_webhooks
from antiphon.signaling.without_redis import WithoutRedis
from antiphon.spans import TRACEPARENT, Tracing, configured

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Scope

    from antiphon.config import Config

ASKED_ANEW = {"Cache-Control": "no-cache"}
_LEAVE_S = 2.0


def create_app(config: Config, *, tracing: Tracing | None = None) -> FastAPI:
    """`tracing` is as the environment configures it where it is not given; the app closes it.

    Raises ConfigError where a policy or a database that the configuration names is not there.
    """
    settings = config.signaling
    tracing = tracing or configured("signaling", settings.id)
    cluster = Cluster.of(config)
    certificates = Certificates(config.control_tls) if config.control_tls.configured else None
    edges = Edges(certificates, tracing)
    locator = Locator(settings.geoip.city_database, settings.geoip.asn_database)
    without = WithoutRedis(cluster, config.region.name if settings.without_redis == "place" else "")
    surveyor = Surveyor(cluster, locator, policies_named(settings.policy), without=without)
    placer = Placer(cluster, edges, surveyor, without, tracing)
    sessions = Sessions(cluster, edges)
    keys = KeyWatch(config.auth)
    rooms = Rooms(cluster, edges, sessions)
    rebalancer = Rebalancer(config.placement.rebalance, cluster, policies_named(settings.policy), settings.id)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with locator:
            async with cluster:
                runs = [
                    locator.keep_fresh(),
                    without.run(),
                    rebalancer.run(),
                    *(watch.run() for watch in (keys, certificates) if watch is not None),
                ]
                runs.append(deliver_webhooks(config.webhooks, cluster, settings.id))
                watches = [asyncio.create_task(run) for run in runs]
                yield
                for watching in watches:
                    watching.cancel()
                await asyncio.wait(watches, timeout=_LEAVE_S)
                await placer.close()
                await edges.close()
                await asyncio.to_thread(tracing.close)  # it sends what waits

    app = FastAPI(
        title="Antiphon",
        description="Live voice between callers and agents: WebRTC offers in, answers out.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # it draws with files of another host
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    limiter = Limiter(cluster, config.auth.limits, SystemClock())
    gate = [Depends(Gate(config.auth, keys.ring, limiter, settings.geoip))]
    routers = [
        api.session_routes(
            settings, config.auth.limits, config.recording, cluster, placer, sessions, Mover(placer, sessions), tracing
        ),
        recording_routes(cluster, open_store(config.recording)),
        room_routes(settings, rooms),
        api.cluster_routes(cluster),
        drain_routes(cluster),
        event_routes(cluster),
        token_routes(settings, config.auth.tokens, keys.ring),
        placement_routes(settings, cluster, surveyor),
        rebalance_routes(config.placement.rebalance, rebalancer),
        _health(cluster, without),
    ]
    for router in routers:
        app.include_router(router, dependencies=gate if router.prefix.startswith("/v1") else [])
    problems.install(app, [route for router in routers for route in router.routes])
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "If-Match",
                "Last-Event-ID",
                TRACEPARENT,
            ],
            expose_headers=["Location", "ETag", "Link", "Retry-After", "Idempotency-Replayed"],
        )
    if config.auth.mode == "none":
        app.add_middleware(LoopbackNames)
    _serve_docs(app)
    if settings.console:
        _serve_console(app)
    app.openapi = lambda: described(app)  # type: ignore[method-assign]
    return app


def _health(cluster: Cluster, without: WithoutRedis) -> APIRouter:
    router = APIRouter(tags=["health"], default_response_class=PlainTextResponse)

    @router.get("/livez", summary="Says that the process lives; asks nobody")
    async def livez() -> str:
        return "ok\n"

    @router.get("/readyz", summary="Says whether sessions can be placed")
    async def readyz() -> Response:
        away, why = ", ".join(cluster.regions_away), ""
        try:
            if not (await cluster.members()).edges and away:
                why = f"Redis is away in {away}, and elsewhere is no edge"
        except UnavailableError as error:
            why = str(error)
        if not why:
            return PlainTextResponse(f"ok, but Redis is away in {away}\n" if away else "ok\n")
        if without.ready:
            return PlainTextResponse("ok: Redis is away, and this region's edges are filled without it\n")
        return PlainTextResponse(f"not ready: {why}\n", 503)

    @router.get("/metrics", summary="Figures for Prometheus")
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        page, kind = telemetry.metrics_page(accept)
        return Response(page, media_type=kind)

    return router


def _serve_docs(app: FastAPI) -> None:
    """The API's description to try out at /docs: Swagger UI, out of a package, so that it needs no other host."""
    files = str(resources.files("fastapi_offline") / "static")
    app.mount("/docs/files", StaticFiles(directory=files), name="docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Antiphon's API",
            swagger_js_url="/docs/files/swagger-ui-bundle.js",
            swagger_css_url="/docs/files/swagger-ui.css",
            swagger_favicon_url="/logo.svg",
        )


def _serve_console(app: FastAPI) -> None:
    """The page at / and the browser SDK; both come with the package."""

    @app.get("/sdk/antiphon.js", include_in_schema=False)
    async def sdk() -> Response:
        headers = ASKED_ANEW | {"X-TypeScript-Types": "./antiphon.d.ts"}
        return FileResponse(console.SDK, media_type="text/javascript", headers=headers)

    @app.get("/sdk/antiphon.d.ts", include_in_schema=False)
    async def sdk_types() -> Response:
        return FileResponse(console.SDK_TYPES, media_type="application/typescript", headers=ASKED_ANEW)

    app.mount("/sdk/src", _Modules(directory=console.SDK_MODULES, follow_symlink=True), name="sdk")
    app.mount("/", _Modules(directory=console.STATIC, html=True), name="console")


class _Modules(StaticFiles):
    """Files that are only good together: a browser that keeps some asks whether they are still the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(ASKED_ANEW)
        return response
