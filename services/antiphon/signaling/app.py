"""The FastAPI app of a signaling node: what it is made of, on one screen."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from antiphon import console, telemetry
from antiphon.cluster import Cluster
from antiphon.errors import UnavailableError
from antiphon.placement import Locator, policy_named
from antiphon.signaling import api, problems
from antiphon.signaling.edges import Edges
from antiphon.signaling.placing import Placer
from antiphon.signaling.requests import Gate, LoopbackNames
from antiphon.signaling.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.config import Config


def create_app(config: Config) -> FastAPI:
    """Raises ConfigError where a policy or a database that the configuration names is not there."""
    settings = config.signaling
    cluster = Cluster(config.redis.url.get_secret_value())
    edges = Edges()
    locator = Locator(settings.geoip.city_database)
    placer = Placer(cluster, edges, locator, policy_named(settings.policy))
    sessions = Sessions(cluster, edges)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with locator:
            async with cluster:
                yield
                await placer.close()
                await edges.close()

    app = FastAPI(
        title="Antiphon",
        description="Live voice between callers and agents: WebRTC offers in, answers out.",
        version="1",
        lifespan=lifespan,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    gate = [Depends(Gate(config.auth))]
    routers = [api.session_routes(settings, placer, sessions), api.cluster_routes(cluster), _health(cluster)]
    for router in routers:
        app.include_router(router, dependencies=gate if router.prefix.startswith("/v1") else [])
    problems.install(app, [route for router in routers for route in router.routes])
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match"],
            expose_headers=["Location", "ETag", "Retry-After"],
        )
    if config.auth.mode == "none":
        app.add_middleware(LoopbackNames)
    if settings.console:
        _serve_console(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _health(cluster: Cluster) -> APIRouter:
    router = APIRouter(tags=["health"], default_response_class=PlainTextResponse)

    @router.get("/livez", summary="Says that the process lives; asks nobody")
    async def livez() -> str:
        return "ok\n"

    @router.get("/readyz", summary="Says whether sessions can be placed: whether Redis answers")
    async def readyz() -> Response:
        try:
            await cluster.members()
        except UnavailableError as error:
            return PlainTextResponse(f"not ready: {error}\n", 503)
        return PlainTextResponse("ok\n")

    @router.get("/metrics", summary="Figures for Prometheus")
    async def metrics() -> Response:
        page, kind = telemetry.metrics_page()
        return Response(page, media_type=kind)

    return router


def _serve_console(app: FastAPI) -> None:
    """The page at / and the browser SDK; both come with the package."""

    @app.get("/sdk/antiphon.js", include_in_schema=False)
    async def sdk() -> Response:
        return FileResponse(console.SDK, media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    app.mount("/", StaticFiles(directory=console.STATIC, html=True), name="console")


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        components = schema.setdefault("components", {})
        schemas: dict[str, Any] = components.setdefault("schemas", {})
        for operation in (operation for path in schema["paths"].values() for operation in path.values()):
            if operation["responses"].pop("422", None):  # FastAPI's own way to tell of bad input, which is not ours
                operation["responses"].setdefault("400", api.BAD_REQUEST)
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        schemas.update(api.PROBLEM_SCHEMA)
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "<id>.<secret>"}}
        schema["security"] = [{}, {"key": []}]
        app.openapi_schema = schema
    return app.openapi_schema
