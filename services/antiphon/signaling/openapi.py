"""The API's description: what FastAPI makes of the routes, with our errors, bodies and examples in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Path
from fastapi.openapi.utils import get_openapi

from antiphon.signaling.models import SESSION_ID, ProblemDocument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fastapi import FastAPI
    from pydantic import BaseModel

SessionId = Annotated[str, Path(description="The session", examples=[SESSION_ID])]
_COMPONENT = "#/components/schemas/{model}"


def problems_of(**said: str) -> dict[int | str, dict[str, Any]]:
    """Documents error answers: `_404="unknown session"`."""
    content = {"application/problem+json": {"schema": {"$ref": _COMPONENT.format(model="Problem")}}}
    return {int(code[1:]): {"description": words, "content": content} for code, words in said.items()}


def body_of(
    types: Mapping[str, type[BaseModel] | dict[str, Any]], besides: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Documents a body by its media types. `besides` is a schema of what the configuration bounds."""
    content: dict[str, Any] = {}
    for name, kind in types.items():
        if isinstance(kind, dict):
            content[name] = kind
            continue
        schema = kind.model_json_schema(ref_template=_COMPONENT)
        content[name] = {"schema": schema | {"allOf": [besides]} if besides else schema}
    return {"requestBody": {"required": True, "content": content}}


_BAD_REQUEST = problems_of(_400="bad_request")[400]
_AT_THE_DOOR = {
    str(code): said
    for code, said in problems_of(
        _401="unauthorized: no API key or session token that is valid",
        _403="forbidden: it may not call this",
        _429="too_many_requests; see Retry-After",
    ).items()
}
"""What every route under /v1 may answer."""


def described(app: FastAPI) -> dict[str, Any]:
    """Made once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        components = schema.setdefault("components", {})
        schemas: dict[str, Any] = components.setdefault("schemas", {})
        for operation in _operations(schema):
            if operation["responses"].pop("422", None):  # FastAPI's own way to tell of bad input, which is not ours
                operation["responses"].setdefault("400", _BAD_REQUEST)
            _settle_parameters(operation)
            _lift_definitions(operation, schemas)
        for path, operations in schema["paths"].items():
            for operation in operations.values() if path.startswith("/v1") else ():
                operation["responses"] = _AT_THE_DOOR | operation["responses"]
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        schemas["Problem"] = ProblemDocument.model_json_schema()
        _show_examples(schema, schemas)
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "bearerFormat": "<id>.<secret> or JWT"}
        }
        schema["security"] = [{}, {"key": []}]
        app.openapi_schema = schema
    return app.openapi_schema


def _operations(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in schema["paths"].values():
        yield from path.values()


def _settle_parameters(operation: dict[str, Any]) -> None:
    """A parameter that may be left out is no null: a header or a query has no such thing."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
        if len(kinds) == 1:
            del schema["anyOf"]
            parameter["schema"] = kinds[0] | schema


def _lift_definitions(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schemas.update(content.get("schema", {}).pop("$defs", {}))


def _show_examples(schema: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Answers show the example of their schema: readers of the document look for it there."""
    answers = [
        content
        for operation in _operations(schema)
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
