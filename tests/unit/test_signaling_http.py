"""HTTP's own matters: problems, limits, keys, the console, OpenAPI, and the server around it all."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from antiphon.cluster import Cluster
from antiphon.config import load_config
from antiphon.errors import ConfigError
from antiphon.signaling import requests as requests_module
from antiphon.signaling import run
from antiphon.signaling.app import create_app
from tests.support.edge_double import EdgeDouble, serving
from tests.support.members import edge, kept, worker
from tests.support.signaling import OFFER, SDP, signaling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.cluster.embedded import EmbeddedValkey

JSON = {"Content-Type": "application/json"}
ABSENT = "/v1/sessions/ses_frankfurt_00000000000000000000"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "code"),
    [
        ("GET", "/v1/nothing", {}, b"", 404, "not_found"),
        ("GET", "/nothing.html", {}, b"", 404, "not_found"),
        ("POST", "/nothing", {}, b"", 404, "not_found"),
        ("PUT", "/v1/sessions", {}, b"", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/sessions/ses_x:move", {}, b"", 405, "method_not_allowed"),
        ("POST", "/v1/edges", {}, b"", 405, "method_not_allowed"),
        ("PUT", f"{ABSENT}:move", {}, b"", 405, "method_not_allowed"),
        ("POST", "/v1/sessions", {}, OFFER.encode(), 415, "unsupported_media_type"),
        ("POST", "/v1/sessions", {"Content-Type": "text/plain"}, OFFER.encode(), 415, "unsupported_media_type"),
        ("POST", "/v1/sessions", SDP, b"x" * 65537, 413, "too_large"),
        ("POST", "/v1/sessions", SDP, b"v=0\r\n\xff\r\n", 400, "bad_request"),
        ("POST", "/v1/sessions?dcid=65535", SDP, OFFER.encode(), 400, "bad_request"),
        ("POST", "/v1/sessions?dcid=zero", SDP, OFFER.encode(), 400, "bad_request"),
        ("POST", "/v1/sessions?agent=", SDP, OFFER.encode(), 400, "bad_request"),
        ("POST", f"/v1/sessions?region={'x' * 33}", SDP, OFFER.encode(), 400, "bad_request"),
        ("POST", "/v1/sessions", JSON, b"", 400, "bad_request"),
        ("POST", "/v1/sessions", JSON, b"{", 400, "bad_request"),
        ("POST", "/v1/sessions", JSON, b"[]", 400, "bad_request"),
        ("POST", "/v1/sessions", JSON, b'{"agent": "parrot"}', 400, "bad_request"),
        ("POST", "/v1/sessions", JSON, b'{"sdp": ""}', 400, "bad_request"),
        ("POST", "/v1/sessions", JSON, b'{"sdp": 7}', 400, "bad_request"),
        ("POST", "/v1/sessions", JSON, b'{"sdp": "v=0", "metadata": [1]}', 400, "bad_request"),
        ("POST", "/v1/sessions", JSON, b'{"sdp": "v=0", "metadata": {"a": NaN}}', 400, "bad_request"),
        ("POST", "/v1/sessions", JSON, b'{"sdp": "v=0", "metadata": {"a": 1e999}}', 400, "bad_request"),
        ("POST", "/v1/sessions", JSON, b'{"sdp": "v=0", "volume": 11}', 400, "bad_request"),
        ("POST", "/v1/sessions", JSON, b'{"sdp": "v=0", "turns": {"eagerness": "wild"}}', 400, "bad_request"),
        ("POST", "/v1/sessions", JSON, b'{"sdp": "v=0", "turns": {"patience": 3}}', 400, "bad_request"),
        (
            "POST",
            "/v1/sessions",
            JSON,
            json.dumps({"sdp": "v=0", "metadata": {"x": "y" * 17000}}).encode(),
            400,
            "bad_request",
        ),
        ("GET", ABSENT, {}, b"", 404, "unknown_session"),
        ("GET", "/v1/sessions/nonsense", {}, b"", 404, "unknown_session"),
        ("DELETE", ABSENT, {}, b"", 404, "unknown_session"),
        ("PATCH", ABSENT, {"Content-Type": "application/trickle-ice-sdpfrag"}, b"a=mid:0", 404, "unknown_session"),
        ("PATCH", ABSENT, JSON, b"{}", 415, "unsupported_media_type"),
        ("GET", "/v1/sessions?limit=0", {}, b"", 400, "bad_request"),
    ],
)
async def test_each_wrong_request_is_told_as_a_problem(
    valkey: EmbeddedValkey, method: str, path: str, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    async with signaling(valkey) as http:
        reply = await http.request(method, path, headers=headers, content=body)
    assert reply.headers["content-type"] == "application/problem+json"
    told = reply.json()
    assert (reply.status_code, told["status"], told["code"]) == (status, status, code)
    assert told["type"] == f"urn:antiphon:problem:{code}"
    assert told["title"]
    assert told["detail"]
    if status == 405:
        assert method not in reply.headers["allow"]
        assert not path.endswith(":move") or reply.headers["allow"] == "POST"
    if status == 415:
        assert reply.headers.get("accept-post") or reply.headers.get("accept-patch")


async def test_a_body_without_a_length_is_cut_off_at_the_limit(valkey: EmbeddedValkey) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 1000
            yield b"x" * 1000

    async with signaling(valkey) as http:
        reply = await http.post("/v1/sessions", content=endless(), headers=SDP)
    assert reply.status_code == 413
    assert sent <= 70_000


async def test_a_body_that_does_not_come_is_not_waited_for(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "_BODY_S", 0.05)

    async def dawdling() -> AsyncIterator[bytes]:
        yield b"v=0"
        await asyncio.sleep(30)

    async with signaling(valkey) as http:
        reply = await http.post("/v1/sessions", content=dawdling(), headers=SDP)
    assert (reply.status_code, reply.json()["code"]) == (408, "request_timeout")


async def test_a_failure_of_ours_is_a_problem_without_its_inside(valkey: EmbeddedValkey) -> None:
    app = create_app(load_config(redis={"url": valkey.url}))

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("hunter2")

    app.router.routes.insert(0, app.router.routes.pop())  # before the console, which has the rest
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        reply = await http.get("/broken")
    assert (reply.status_code, reply.json()["code"]) == (500, "internal")
    assert "hunter2" not in reply.text


async def test_members_are_listed(valkey: EmbeddedValkey) -> None:
    other = worker("worker-b", agents=("echo",))
    async with (
        Cluster(valkey.url) as cluster,
        signaling(valkey) as http,
        kept(cluster, edge(sessions=3), worker(), other),
    ):
        edges = (await http.get("/v1/edges")).json()["edges"]
        assert [(one["id"], one["region"], one["sessions"]) for one in edges] == [("edge-a", "frankfurt", 3)]
        workers = (await http.get("/v1/workers")).json()["workers"]
        assert [one["id"] for one in workers] == ["worker-a", "worker-b"]
        agents = (await http.get("/v1/agents")).json()["agents"]
        assert [(one["name"], one["workers"], one["default"]) for one in agents] == [
            ("echo", ["worker-a", "worker-b"], False),
            ("parrot", ["worker-a"], True),
        ]


KEYS: dict[str, Any] = {"mode": "keys", "api_keys": {"console": "0123456789abcdef", "other": "fedcba9876543210"}}


@pytest.mark.parametrize("path", ["/", "/v1/sessions", "/metrics", "/sdk/antiphon.js"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "192.0.2.1", "[", ""])
async def test_without_keys_a_request_by_another_name_is_refused(valkey: EmbeddedValkey, path: str, host: str) -> None:
    async with signaling(valkey) as http:
        reply = await http.get(path, headers={"Host": host})
    assert (reply.status_code, reply.json()["code"]) == (421, "misdirected_request")
    assert reply.headers["content-type"] == "application/problem+json"
    assert "auth.mode" in reply.json()["detail"]


@pytest.mark.parametrize("host", ["localhost:9000", "LOCALHOST", "antiphon.localhost", "127.0.0.1", "[::1]:8080"])
async def test_loopback_s_names_are_served_whatever_the_port(valkey: EmbeddedValkey, host: str) -> None:
    async with signaling(valkey) as http:
        reply = await http.get("/v1/sessions", headers={"Host": host})
    assert reply.status_code == 200


async def test_with_keys_the_node_has_any_name(valkey: EmbeddedValkey) -> None:
    async with signaling(valkey, auth=KEYS) as http:
        reply = await http.get("/", headers={"Host": "antiphon.example"})
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        ("Bearer console", 401),
        ("Bearer console.", 401),
        ("Bearer console.fedcba9876543210", 401),
        ("Bearer nobody.0123456789abcdef", 401),
        ("Bearer .0123456789abcdef", 401),
        ("Basic console.0123456789abcdef", 401),
        ("Bearer console.0123456789abcdef\u00e9", 401),
        ("Bearer console.0123456789abcdef", 200),
        ("bearer other.fedcba9876543210", 200),
    ],
)
async def test_with_keys_configured_the_api_asks_for_one(
    valkey: EmbeddedValkey, authorization: str | None, status: int
) -> None:
    headers = httpx.Headers() if authorization is None else httpx.Headers({b"Authorization": authorization.encode()})
    async with signaling(valkey, auth=KEYS) as http:
        for path in ("/v1/edges", "/v1/sessions"):
            reply = await http.get(path, headers=headers)
            assert reply.status_code == status
            if status == 401:
                assert reply.json()["code"] == "unauthorized"
                assert reply.headers["www-authenticate"].startswith("Bearer")
        assert (await http.get("/livez")).status_code == 200
        assert (await http.get("/")).status_code == 200


async def test_a_refused_caller_cannot_make_sessions(valkey: EmbeddedValkey) -> None:
    async with signaling(valkey, auth=KEYS) as http:
        assert (await http.post("/v1/sessions", content=OFFER, headers=SDP)).status_code == 401
        assert (await http.delete(ABSENT)).status_code == 401


async def test_the_console_and_the_browser_sdk_are_served(valkey: EmbeddedValkey) -> None:
    async with signaling(valkey) as http:
        page = await http.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "Antiphon" in page.text
        script = await http.get("/sdk/antiphon.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert "connect" in script.text
        module = await http.get("/sdk/src/call.js")
        assert module.headers["content-type"].startswith("text/javascript")
        assert (await http.get("/sdk/src/nothing.js")).status_code == 404
        assert (await http.get("/sdk/src/..%2f..%2f__init__.py")).status_code == 404
    async with signaling(valkey, signaling={"console": False}) as http:
        assert (await http.get("/")).status_code == 404


@pytest.mark.parametrize("path", ["/", "/app.js", "/sdk/antiphon.js", "/sdk/src/call.js"])
async def test_modules_of_two_releases_do_not_mix_in_a_browser_s_cache(valkey: EmbeddedValkey, path: str) -> None:
    async with signaling(valkey) as http:
        first = await http.get(path)
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["etag"]


async def test_a_module_that_a_browser_has_is_not_sent_again(valkey: EmbeddedValkey) -> None:
    async with signaling(valkey) as http:
        first = await http.get("/sdk/src/call.js")
        again = await http.get("/sdk/src/call.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")


async def test_pages_of_other_origins_may_call_only_where_configured(valkey: EmbeddedValkey) -> None:
    origin = {"Origin": "https://app.example.com"}
    async with signaling(valkey) as http:
        assert "access-control-allow-origin" not in (await http.get("/v1/edges", headers=origin)).headers
    async with signaling(valkey, signaling={"cors_origins": ["https://app.example.com"]}) as http:
        reply = await http.get("/v1/edges", headers=origin)
        assert reply.headers["access-control-allow-origin"] == "https://app.example.com"
        other = await http.get("/v1/edges", headers={"Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in other.headers


async def test_the_docs_need_no_other_host(valkey: EmbeddedValkey) -> None:
    async with signaling(valkey) as http:
        page = (await http.get("/docs")).text
        files = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert "/docs/files/swagger-ui-bundle.js" in files
        for file in files:
            assert (await http.get(file)).status_code == 200, file
    assert "http://" not in page
    assert "https://" not in page


async def test_the_sdk_is_served_with_its_types(valkey: EmbeddedValkey) -> None:
    async with signaling(valkey) as http:
        script = await http.get("/sdk/antiphon.js")
        types = await http.get("/sdk/antiphon.d.ts")
    assert script.headers["x-typescript-types"] == "./antiphon.d.ts"
    assert types.headers["content-type"].startswith("application/typescript")
    assert "export function connect" in types.text


async def test_openapi_has_examples_and_every_error(valkey: EmbeddedValkey) -> None:
    async with signaling(valkey) as http:
        document = (await http.get("/openapi.json")).json()
    post = document["paths"]["/v1/sessions"]["post"]
    assert set(post["requestBody"]["content"]) == {"application/sdp", "application/json"}
    assert post["requestBody"]["content"]["application/sdp"]["example"].startswith("v=0")
    assert {"201", "400", "404", "413", "415", "503"} <= set(post["responses"])
    assert set(post["responses"]["201"]["content"]) == {"application/sdp", "application/json"}
    for path, method in (("/v1/sessions/{session}", "get"), ("/v1/sessions", "post"), ("/v1/edges", "get")):
        answers = document["paths"][path][method]["responses"]
        assert all(body["example"] for code in answers if code[0] == "2" for body in answers[code]["content"].values())
    assert document["paths"]["/v1/sessions/{session}"]["get"]["responses"]["404"]["content"][
        "application/problem+json"
    ]["example"]
    for name in ("SessionCreated", "Session", "Edge", "WorkerDocument", "AgentDocument", "Problem"):
        assert document["components"]["schemas"][name]["examples"]
    assert "422" not in json.dumps(
        [list(op["responses"]) for path in document["paths"].values() for op in path.values()]
    )


async def test_metrics_count_placements_and_refusals(valkey: EmbeddedValkey) -> None:
    double = EdgeDouble()
    async with (
        serving(double) as address,
        Cluster(valkey.url) as cluster,
        kept(cluster, edge(control=address), worker()),
        signaling(valkey) as http,
    ):
        await http.post("/v1/sessions", content=OFFER, headers=SDP)
        await http.get("/v1/nothing")
        page = (await http.get("/metrics")).text
    assert 'antiphon_signaling_placements_total{outcome="placed",region="frankfurt"}' in page
    assert 'antiphon_signaling_refusals_total{reason="not_found"}' in page
    for step in ("membership", "claim", "edge", "total"):
        assert f'antiphon_signaling_setup_seconds_count{{step="{step}"}}' in page


async def test_the_server_runs_until_cancelled_and_frees_its_port(valkey: EmbeddedValkey) -> None:
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    config = load_config(redis={"url": valkey.url}, signaling={"port": 0})
    running = asyncio.create_task(run(config, started=started.set_result))
    port = await started
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        assert (await http.get("/readyz")).status_code == 200
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_a_taken_port_and_an_unknown_policy_are_told(valkey: EmbeddedValkey) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            await run(load_config(redis={"url": valkey.url}, signaling={"port": port}))
    with pytest.raises(ConfigError, match="no policy 'best'"):
        create_app(load_config(redis={"url": valkey.url}, signaling={"policy": "best"}))
