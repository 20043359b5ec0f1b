"""Who may call what: docs/security.md, the gate's table, the routes, and what each kind of caller is answered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from antiphon.config import load_config
from antiphon.signaling.app import create_app
from antiphon.signaling.rights import RIGHTS, right_to
from tests.support.signaling import signaling
from tests.support.tokens import AUTH, by_key, by_token, token_of

if TYPE_CHECKING:
    from antiphon.cluster.embedded import EmbeddedValkey

DOC = Path(__file__).parents[2] / "docs" / "security.md"
_ROW = re.compile(r"^\| `([A-Z]+) (/\S+)` \| (.+) \|$", re.MULTILINE)
_CALLERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("nobody", {}),
    ("token", by_token(token_of(agent="*", room="*"))),
    ("key", by_key("acme")),
    ("operator", by_key("boss")),
)


def table() -> dict[tuple[str, str], list[str]]:
    """Cells by method and path: nobody, session token, API key, operator's key."""
    return {(method, path): cells.split(" | ") for method, path, cells in _ROW.findall(DOC.read_text())}


def routes() -> set[tuple[str, str]]:
    """All of the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = create_app(load_config()).openapi()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def test_the_docs_and_the_gate_know_every_route_and_no_other() -> None:
    assert set(table()) == routes()
    assert set(RIGHTS) == {(method, path) for method, path in routes() if path.startswith("/v1")}


def test_the_docs_say_what_the_gate_does() -> None:
    for route, cells in table().items():
        right = RIGHTS.get(route)
        allowed = [cell != "no" for cell in cells]
        expected = {
            None: [True] * 4,
            "token": [False, True, True, True],
            "key": [False, False, True, True],
            "operator": [False, False, False, True],
        }[right]
        assert allowed == expected, route


@pytest.mark.parametrize("route", sorted(table()), ids=" ".join)
async def test_each_caller_is_let_in_or_kept_out_as_the_docs_say(
    valkey: EmbeddedValkey, route: tuple[str, str]
) -> None:
    method, path = route
    names = {"session": "ses_frankfurt_00000000000000000000", "room": "kitchen", "edge": "edge-x", "worker": "worker-x"}
    names |= {"part": "1-0", "track": "caller.ogg"}
    target = path.format(**names) + ("?for_s=0" if path == "/v1/events" else "")
    async with signaling(valkey, auth=AUTH) as http:
        for at, (who, headers) in enumerate(_CALLERS):
            reply = await http.request(method, target, headers=headers)
            refused = reply.status_code in {401, 403}
            assert refused == (table()[route][at] == "no"), f"{who}: {reply.status_code} {reply.text[:200]}"
            if refused:
                expected = (401, "unauthorized") if who == "nobody" else (403, "forbidden")
                assert (reply.status_code, reply.json()["code"]) == expected


def test_a_route_that_the_table_forgets_is_an_operators() -> None:
    assert right_to("GET", "/v1/forgotten") == "operator"
