"""The FastAPI app of a signaling node: what it is made of, on one screen."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.docs import get_swagger_ui_html
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
from antiphon.signaling.rooms import Rooms, room_routes
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
    rooms = Rooms(cluster, edges, sessions)

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
        docs_url=None,  # it draws with files of another host
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    gate = [Depends(Gate(config.auth))]
    routers = [
        api.session_routes(settings, placer, sessions),
        room_routes(settings, rooms),
        api.cluster_routes(cluster),
        _health(cluster),
    ]
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
    _serve_docs(app)
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
    fresh = {"Cache-Control": "no-cache"}

    @app.get("/sdk/antiphon.js", include_in_schema=False)
    async def sdk() -> Response:
        headers = fresh | {"X-TypeScript-Types": "./antiphon.d.ts"}
        return FileResponse(console.SDK, media_type="text/javascript", headers=headers)

    @app.get("/sdk/antiphon.d.ts", include_in_schema=False)
    async def sdk_types() -> Response:
        return FileResponse(console.SDK_TYPES, media_type="application/typescript", headers=fresh)

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
        _show_examples(schema, schemas)
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "<id>.<secret>"}}
        schema["security"] = [{}, {"key": []}]
        app.openapi_schema = schema
    return app.openapi_schema


def _show_examples(schema: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Answers show the example of their schema: readers of the document look for it there."""
    answers = [
        content
        for path in schema["paths"].values()
        for operation in path.values()
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
    ]
    for content in answers:
        example = _example(content.get("schema", {}), schemas)
        if example is not None:
            content.setdefault("example", example)


def _example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:  # noqa: ANN401
    """Its own example; of a document that only lists others, one with an example of those; else None."""
    found: dict[str, Any] = schemas.get(schema.get("$ref", "").rpartition("/")[2], {})
    if examples := found.get("examples"):
        return examples[0]
    listed = {name: _example(field.get("items", {}), schemas) for name, field in found.get("properties", {}).items()}
    return {name: [one] for name, one in listed.items() if one is not None} or None
