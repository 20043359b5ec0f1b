"""The Idempotency-Key of a call: sent twice it is one session; what another may not learn by it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.signaling import OFFER, signaling
from tests.support.tokens import AUTH, by_key
from tests.unit.test_signaling_sessions import Site, site

if TYPE_CHECKING:
    import httpx

    from antiphon.cluster.embedded import EmbeddedValkey

ACME, GLOBEX = by_key("acme"), by_key("globex")


async def asked(here: Site, who: dict[str, str], key: str = "order-0001", **wish: Any) -> httpx.Response:
    return await here.http.post("/v1/sessions", json={"sdp": OFFER, **wish}, headers=who | {"Idempotency-Key": key})


async def test_the_same_request_is_one_session_and_is_answered_as_before(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        first, again = await asked(here, ACME), await asked(here, ACME)
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.content == first.content
        assert [again.headers[name] for name in ("location", "etag")] == [
            first.headers[name] for name in ("location", "etag")
        ]
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        assert len(here.frankfurt.opened) + len(here.virginia.opened) == 1
        assert (await asked(here, ACME, "order-0002")).json()["id"] != first.json()["id"]


async def test_requests_at_once_are_one_session(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        replies = await asyncio.gather(*(asked(here, ACME) for _ in range(8)))
        assert len(here.frankfurt.opened) + len(here.virginia.opened) == 1
        assert {reply.json().get("code", "") for reply in replies} <= {"", "in_flight"}
        assert len({reply.json()["id"] for reply in replies if reply.status_code == 201}) == 1


async def test_another_request_with_the_key_is_refused_but_not_another_projects(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        mine = await asked(here, ACME)
        other = await asked(here, ACME, metadata={"name": "Ada"})
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
        theirs = await asked(here, GLOBEX)
        assert theirs.status_code == 201
        assert theirs.json()["id"] != mine.json()["id"]


async def test_what_failed_is_tried_anew(valkey: EmbeddedValkey) -> None:
    async with site(valkey, auth=AUTH) as here:
        for _ in range(2):
            reply = await asked(here, ACME, agent="nobody")
            assert (reply.status_code, reply.json()["code"]) == (404, "unknown_agent")


@pytest.mark.parametrize("key", ["", "short", "with space", "a" * 129])
async def test_a_key_that_is_none_is_refused(valkey: EmbeddedValkey, key: str) -> None:
    async with signaling(valkey, auth=AUTH) as http:
        reply = await http.post("/v1/sessions", json={"sdp": OFFER}, headers=ACME | {"Idempotency-Key": key})
        assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")
