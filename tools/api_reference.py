"""Writes docs/api.md from the OpenAPI document that a signaling node serves at /openapi.json.

`make api-reference` writes it; a test holds the page to the code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from antiphon.config import load_config
from antiphon.signaling.app import create_app
from antiphon.signaling.rights import Right, right_to

DOCUMENT = Path(__file__).parent.parent / "docs" / "api.md"
_METHODS = ("get", "post", "patch", "delete")
_AT_EVERY_DOOR = ("401", "403", "429")
"""Refusals before an operation is looked at; told once, at the head of the page."""
_BOUNDS = (
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {}"),
    ("maxItems", "at most {}"),
    ("minimum", "≥ {}"),
    ("maximum", "≤ {}"),
    ("pattern", "`{}`"),
)

_NEEDS: dict[Right, str] = {
    "token": "a session token that grants it, or an API key",
    "key": "an API key",
    "operator": "an operator's API key",
}

Schema = dict[str, Any]


def document() -> str:
    """The text of docs/api.md."""
    api = create_app(load_config()).openapi()
    operations = [
        (tag, method, path, operation)
        for path, methods in api["paths"].items()
        for method, operation in sorted(methods.items(), key=lambda one: _METHODS.index(one[0]))
        for tag in operation["tags"]
    ]
    lines = [_HEAD]
    for tag in dict.fromkeys(tag for tag, *_ in operations):
        lines += ["", f"## {tag[0].upper()}{tag[1:]}"]
        for named, method, path, operation in operations:
            if named == tag:
                lines += _operation(method, path, operation)
    lines += ["", "## Documents"]
    for name, schema in sorted(api["components"]["schemas"].items()):
        lines += _document(name, schema)
    return "\n".join(lines) + "\n"


def _operation(method: str, path: str, operation: Schema) -> list[str]:
    lines = ["", f"### `{method.upper()} {path}`", "", f"{operation['summary']}."]
    if path.startswith("/v1"):
        lines[-1] += f" Needs {_NEEDS[right_to(method.upper(), path)]}."
    if words := operation.get("description"):
        lines += ["", _words(words)]
    if parameters := operation.get("parameters"):
        lines += ["", "| parameter | in | type | meaning |", "|---|---|---|---|"]
        for one in parameters:
            needed = ", required" if one.get("required") else ""
            kind, meaning = _type(one["schema"]) + needed, _meaning(one["schema"])
            lines.append(f"| `{one['name']}` | {one['in']} | {kind} | {meaning} |")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        lines += ["", f"Body, `{kind}`{_of(content.get('schema', {}))}"]
        lines += _fields(content.get("schema", {}), asked=True)
    lines += ["", "| answer | |", "|---|---|"]
    for status, answer in sorted(operation["responses"].items()):
        if status in _AT_EVERY_DOOR and path.startswith("/v1"):
            continue
        bodies = [
            f"`{kind}`{_of(content.get('schema', {}))}"
            for kind, content in answer.get("content", {}).items()
            if kind != "application/problem+json"
        ]
        lines.append(f"| {status} | {_told(answer['description'])}{': ' if bodies else ''}{' or '.join(bodies)} |")
    return lines


def _document(name: str, schema: Schema) -> list[str]:
    words = schema.get("description")
    return ["", f"### {name}", *(["", _words(words)] if words else []), *_fields(schema)]


def _fields(schema: Schema, *, asked: bool = False) -> list[str]:
    """A table of fields; where they are asked for, with which of them must be there."""
    fields = schema.get("properties", {})
    if not fields:
        return []
    required = schema.get("required", []) if asked else []
    lines = ["", "| field | type | meaning |", "|---|---|---|"]
    for name, field in fields.items():
        needed = ", required" if name in required else ""
        lines.append(f"| `{name}` | {_type(field)}{needed} | {_meaning(field)} |")
    return lines


def _type(schema: Schema) -> str:
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(choice) for choice in choices)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    values = schema.get("additionalProperties")
    return f"object of {_type(values)}" if kind == "object" and isinstance(values, dict) and values else kind


def _meaning(schema: Schema) -> str:
    bounded = [schema, *schema.get("anyOf", [])]
    bounds = [words.format(one[key]).replace("|", r"\|") for one in bounded for key, words in _BOUNDS if key in one]
    if schema.get("default") not in (None, "", [], {}):
        bounds.append(f"default `{json.dumps(schema['default'])}`")
    meaning = _words(schema.get("description", ""))
    return f"{meaning} ({', '.join(bounds)})".strip() if bounds else meaning


def _of(schema: Schema) -> str:
    return f", {_type(schema)}" if "$ref" in schema else ""


def _told(description: str) -> str:
    return "As asked" if description == "Successful Response" else _words(description)


def _words(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


_HEAD = """# HTTP API

What a signaling node answers. `make api-reference` writes this page from the code, and a test holds it to it. A node
serves the same as OpenAPI at `/openapi.json`, and to try out at `/docs`.

**Who asks**: `Authorization: Bearer <id>.<secret>` with an API key, or a session token; nothing where `auth.mode` is
`none`, which is for loopback. [security.md](security.md) has keys, projects and grants.

**Repeats**: `POST /v1/sessions` takes an `Idempotency-Key` ([events.md](events.md)).

**Refusals** are `application/problem+json` (RFC 9457, [Problem](#problem)): `code` is for programs, `detail` for
people. Everything under `/v1` may answer 401 (no key or token that is valid), 403 (it may not call this) and 429 (too
many requests, or the project has all sessions that it may have; see `Retry-After`) besides what stands at each
operation. 503 comes with `Retry-After` too. Input that is wrong gets 400, whether its form or its meaning is; 422 is
not used. 405 names in `Allow` what a path takes, 415 in `Accept-Post` or `Accept-Patch` which types. Clients pass over
fields that they do not know: more may come.

**Lists** come in pages of at most `limit` entries. Where another page follows, `next` is its `cursor`, and the `Link`
header (RFC 8288, `rel="next"`) its address; only that tells that a list is over. A cursor is opaque and goes with the
same filters. What came meanwhile stands before it, what has ended is passed over, and nothing is told twice, unless the
record of a page's last session expired since. For one page of sessions 2,000 records are looked at, so it may be
shorter than its limit. A parameter that a list does not have is refused: a filter that is misspelt would find
everything. Python's `Api` and the browser SDK read all pages of edges, workers, agents, rooms and regions."""


def main() -> None:
    DOCUMENT.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
