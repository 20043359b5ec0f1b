"""Session tokens over HTTP: minted with a key, taken where a browser makes a session, and held to their grants."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from antiphon.client import CallRefusedError
from antiphon.client.api import Api
from tests.support.signaling import OFFER, SDP, signaling
from tests.support.tokens import AUTH, PRIVATE, SECRETS, by_key, by_token, token_of, wrong_tokens
from tests.unit.test_signaling_sessions import site

if TYPE_CHECKING:
    from antiphon.cluster.embedded import EmbeddedValkey

ACME = by_key("acme")


async def test_a_minted_token_makes_a_session_and_ends_it(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        grants = {"agent": "echo", "region": "virginia", "metadata": {"customer": "42"}}
        reply = await here.http.post(
            "/v1/tokens", json={"subject": "ann", "ttl_s": 60.0, "grants": grants}, headers=ACME
        )
        assert reply.status_code == 201
        assert reply.headers["cache-control"] == "no-store"
        told = reply.json()
        assert told["subject"] == "ann"
        bearer = by_token(told["token"])
        made = await here.http.post("/v1/sessions", content=OFFER, headers=SDP | bearer)
        assert made.status_code == 201, made.text
        opened = here.virginia.opened[0]
        assert (opened.agent, json.loads(opened.metadata)) == ("echo", {"customer": "42"})
        session = (await here.http.get(made.headers["location"], headers=bearer)).json()
        assert (session["agent"], session["region"]) == ("echo", "virginia")
        assert (await here.http.delete(made.headers["location"], headers=bearer)).status_code == 204


async def test_what_is_not_said_is_minted_narrow(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        one, other = [(await here.http.post("/v1/tokens", json={}, headers=ACME)).json() for _ in range(2)]
        assert one["subject"] != other["subject"]
        bearer = by_token(one["token"])
        made = await here.http.post("/v1/sessions", json={"sdp": OFFER}, headers=bearer)
        assert (made.status_code, made.json()["agent"]) == (201, "parrot")
        agents = (await here.http.get("/v1/agents", headers=bearer)).json()["agents"]
        assert [agent["name"] for agent in agents] == ["parrot"]


@pytest.mark.parametrize(
    ("grants", "wish", "status"),
    [
        ({}, {}, 201),
        ({}, {"agent": "parrot"}, 201),
        ({}, {"agent": "echo"}, 403),
        ({}, {"room": "kitchen"}, 403),
        ({"agent": "echo"}, {}, 201),
        ({"agent": "echo"}, {"agent": "echo"}, 201),
        ({"agent": "echo"}, {"agent": "parrot"}, 403),
        ({"agent": "echo"}, {"agent": "echo", "room": "kitchen"}, 403),
        ({"agent": "*"}, {"agent": "echo"}, 201),
        ({"room": "kitchen"}, {}, 201),
        ({"room": "kitchen"}, {"room": "kitchen"}, 201),
        ({"room": "kitchen"}, {"room": "cellar"}, 403),
        ({"room": "kitchen"}, {"room": "kitchen", "agent": "echo"}, 403),
        ({"room": "kitchen", "agent": "echo"}, {"agent": "echo"}, 201),
        ({"room": "*"}, {"room": "cellar"}, 201),
        ({"room": "*"}, {}, 201),
        ({"agent": "*"}, {"agent": "nobody"}, 404),
    ],
)
async def test_a_token_is_held_to_its_grants(
    valkey: EmbeddedValkey, grants: dict[str, Any], wish: dict[str, Any], status: int
) -> None:
    async with site(valkey, auth=AUTH) as here:
        reply = await here.http.post("/v1/sessions", json={"sdp": OFFER, **wish}, headers=by_token(token_of(**grants)))
        assert reply.status_code == status, reply.text
        if status == 403:
            assert reply.json()["code"] == "forbidden"
            assert not here.frankfurt.opened + here.virginia.opened
        if status == 201:
            room = grants.get("room")
            assert reply.json()["room"] == (wish.get("room") or (room if room != "*" else None))


async def test_the_grants_count_more_than_the_caller_s_words(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        token = token_of(region="virginia", metadata={"plan": "free"}, subscribe=False)
        body = {"sdp": OFFER, "region": "frankfurt", "metadata": {"plan": "gold", "page": "home"}}
        made = await here.http.post("/v1/sessions", json=body, headers=by_token(token))
        assert made.json()["region"] == "virginia"
        asked = here.virginia.opened[0]
        assert json.loads(asked.metadata) == {"plan": "free", "page": "home"}
        assert asked.offer == OFFER + "a=sendonly\r\n"
        silenced = token_of(region="virginia", publish=False)
        assert (await here.http.post("/v1/sessions", json=body, headers=by_token(silenced))).status_code == 201
        assert here.virginia.opened[1].offer == OFFER + "a=recvonly\r\n"


@pytest.mark.parametrize("name", sorted(wrong_tokens()))
async def test_wrong_tokens_open_nothing(valkey: EmbeddedValkey, name: str) -> None:
    token, reason = wrong_tokens()[name]
    async with signaling(valkey, auth=AUTH) as http:
        reply = await http.post("/v1/sessions", content=OFFER, headers=SDP | by_token(token))
        page = (await http.get("/metrics")).text
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")
    assert reply.headers["www-authenticate"].startswith("Bearer")
    if token.startswith("eyJ"):
        assert reply.json()["reason"] == reason
        assert f'antiphon_signaling_token_refusals_total{{reason="{reason}"}}' in page
    assert token not in reply.text


@pytest.mark.parametrize(
    ("who", "body", "status", "says"),
    [
        (by_key("acme"), {"grants": {"everything": True}}, 400, "grants.everything"),
        (by_key("acme"), {"grants": {"room": "a room"}}, 400, "grants.room"),
        (by_key("acme"), {"grants": {"metadata": {"x": "y" * 3000}}}, 400, "grants.metadata"),
        (by_key("acme"), {"ttl_s": 10**6}, 400, "ttl_s"),
        (by_key("acme"), {"ttl_s": 0}, 400, "ttl_s"),
        (by_key("acme"), {"ttl_s": 60.5}, 400, "ttl_s"),
        (by_key("acme"), {"subject": ""}, 400, "subject"),
        (by_key("short"), {}, 400, "cannot sign"),
        (by_token(token_of()), {}, 403, "API keys"),
        ({}, {}, 401, "API key"),
    ],
)
async def test_what_cannot_be_minted_is_told(
    valkey: EmbeddedValkey, who: dict[str, str], body: dict[str, Any], status: int, says: str
) -> None:
    async with signaling(valkey, auth=AUTH) as http:
        reply = await http.post("/v1/tokens", json=body, headers=who)
    assert reply.status_code == status
    assert says in reply.json()["detail"]


async def test_neither_keys_nor_tokens_are_in_logs_metrics_and_answers(valkey: EmbeddedValkey) -> None:
    good, expired = token_of(agent="nobody"), wrong_tokens()["expired"][0]
    bearers = [good, expired, f"acme.{SECRETS['acme']}", f"globex.{SECRETS['acme']}", "acme.guess-0123456789"]
    with structlog.testing.capture_logs() as logs:
        async with site(valkey, auth=AUTH) as here:
            answers = [
                (await here.http.request(method, path, headers=by_token(bearer), json={"sdp": OFFER})).text
                for bearer in bearers
                for method, path in (("POST", "/v1/sessions"), ("GET", "/v1/sessions"), ("POST", "/v1/tokens"))
            ]
            answers.append((await here.http.get("/metrics")).text)
    told = repr(logs) + "".join(answers)
    assert "session placed" in told
    for secret in (good, expired, *SECRETS.values(), "guess-0123456789", PRIVATE.splitlines()[1]):
        assert secret not in told


async def test_without_keys_there_is_nothing_to_sign_with(valkey: EmbeddedValkey) -> None:
    async with signaling(valkey) as http:
        reply = await http.post("/v1/tokens", json={})
    assert (reply.status_code, reply.json()["code"]) == (409, "no_keys")


async def test_the_python_sdk_bears_a_token_and_tells_its_refusal(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        api = Api("http://127.0.0.1", token_of(agent="echo"))
        await api._http.aclose()
        here.http.headers.update(api._http.headers)
        api._http = here.http
        placed = await api.create(OFFER, agent="echo", region=None, metadata={})
        assert (await api.session(placed.session))["agent"] == "echo"
        with pytest.raises(CallRefusedError, match="does not let its bearer call the agent parrot") as refused:
            await api.create(OFFER, agent="parrot", region=None, metadata={})
        assert refused.value.status == 403
