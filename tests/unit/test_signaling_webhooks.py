"""Webhooks over a real Valkey to a real receiver, which fails at first, stays away, or is not there at all."""

from __future__ import annotations

import asyncio
import base64
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI, Request, Response

from antiphon import webhooks
from antiphon.cluster import Cluster
from antiphon.cluster.event_groups import EventGroup
from antiphon.config_webhooks import WebhooksConfig
from antiphon.signaling.metrics import WEBHOOK_ATTEMPTS, WEBHOOK_DROPS
from antiphon.signaling.webhooks import deliver_webhooks
from tests.support.members import edge, kept, worker
from tests.support.signaling import signaling
from tests.support.tasks import end
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiphon.cluster.embedded import EmbeddedValkey

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
LONG = 60.0


class Receiver:
    """Answers with what it is told to, then with 204. Every request must be signed."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.elsewhere = 0
        self.heard: list[dict[str, Any]] = []
        self.url = ""

    async def __call__(self, request: Request) -> Response:
        event = webhooks.verify(await request.body(), request.headers, SECRET)
        self.requests.append((request.headers["webhook-id"], event))
        status = self.answers.pop(0) if self.answers else 204
        if status == 204:
            self.heard.append(event)
        return Response(status_code=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    def types(self) -> list[str]:
        return sorted(event["type"] for event in self.heard)


@asynccontextmanager
async def receiving(*answers: int) -> AsyncIterator[Receiver]:
    receiver, app = Receiver(*answers), FastAPI()
    app.add_api_route("/hook", receiver.__call__, methods=["POST"])

    @app.post("/elsewhere")
    async def elsewhere() -> None:
        receiver.elsewhere += 1

    with socket.create_server(("127.0.0.1", 0)) as listening:
        receiver.url = f"http://127.0.0.1:{listening.getsockname()[1]}/hook"
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        task = asyncio.create_task(server.serve([listening]))
        await until(lambda: server.started)
        try:
            yield receiver
        finally:
            server.should_exit = True
            await task


def config_of(url: str, give_up_s: float = 3600.0, **changes: Any) -> WebhooksConfig:
    endpoint = {"url": url, "secrets": [SECRET], **changes}
    return WebhooksConfig.model_validate({"endpoints": {"crm": endpoint}, "give_up_s": give_up_s})


@asynccontextmanager
async def delivering(cluster: Cluster, config: WebhooksConfig, nodes: int = 1) -> AsyncIterator[None]:
    """From now on: the group is there when the context begins."""
    await cluster.common.event_group("webhook:crm", "first", project="default", members=True).take(1)
    tasks = [
        asyncio.create_task(deliver_webhooks(config, cluster, f"node-{at}", first_retry_s=0.05)) for at in range(nodes)
    ]
    try:
        yield
    finally:
        await end(*tasks)


async def live_and_die(cluster: Cluster, session: str, project: str = "default") -> None:
    claimed = await cluster.claim(session, agent="", edges=["edge-a"], workers=[], project=project)
    await cluster.session(session).update(claimed.epoch, state="live")
    await cluster.session(session).release(claimed.epoch, {"reason": "bye"})


def count(metric: Any, label: str) -> float:
    return float(metric.labels("crm", label)._value.get())


LIFE = ["session.created", "session.ended", "session.live"]


async def test_a_receiver_that_fails_at_first_hears_everything_signed_and_once_each(valkey: EmbeddedValkey) -> None:
    before = count(WEBHOOK_ATTEMPTS, "refused")
    async with receiving(500, 503, 302, 404) as receiver, Cluster(valkey.url) as cluster, kept(cluster, edge()):
        async with delivering(cluster, config_of(receiver.url)):
            await live_and_die(cluster, "ses_1")
            await until(lambda: len(receiver.heard) == 3, seconds=LONG)
        assert receiver.types() == LIFE
        assert len(receiver.requests) == 7
        assert len({id_ for id_, _ in receiver.requests}) == 3, "an attempt has its event's id"
        assert receiver.elsewhere == 0, "redirects are not followed"
        ended = next(event for event in receiver.heard if event["type"] == "session.ended")
        assert (ended["data"]["session"], ended["data"]["reason"]) == ("ses_1", "bye")
        assert ended["timestamp"].endswith("Z")
    assert count(WEBHOOK_ATTEMPTS, "refused") == before + 3


async def test_nodes_share_the_work(valkey: EmbeddedValkey) -> None:
    async with receiving() as receiver, Cluster(valkey.url) as cluster, kept(cluster, edge()):
        async with delivering(cluster, config_of(receiver.url), nodes=3):
            await asyncio.gather(*(live_and_die(cluster, f"ses_{at}") for at in range(10)))
            await until(lambda: len(receiver.heard) >= 30, seconds=LONG)
        assert len({id_ for id_, _ in receiver.requests}) == len(receiver.requests) == 30


async def test_a_receiver_that_was_away_hears_what_it_missed_though_the_node_is_another(valkey: EmbeddedValkey) -> None:
    async with Cluster(valkey.url) as cluster, kept(cluster, edge()):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            away = f"http://127.0.0.1:{closed.getsockname()[1]}/hook"
        before = count(WEBHOOK_ATTEMPTS, "unreachable")
        async with delivering(cluster, config_of(away)):
            await live_and_die(cluster, "ses_1")
            await until(lambda: count(WEBHOOK_ATTEMPTS, "unreachable") >= before + 3, seconds=LONG)
        group = cluster.common.event_group("webhook:crm", "second", project="default", members=False)
        group._idle_ms = 0
        found: list[str] = []
        while len(found) < 3:
            found += [event.type for event in (await group.take(16)).events]
        assert sorted(found) == LIFE


async def test_it_hears_of_its_project_and_of_what_it_asked_for(valkey: EmbeddedValkey) -> None:
    async with receiving() as receiver, Cluster(valkey.url) as cluster, kept(cluster, edge()):
        wish: dict[str, Any] = {"project": "acme", "events": ["session.ended", "worker.*"], "members": True}
        async with delivering(cluster, config_of(receiver.url, **wish)):
            await live_and_die(cluster, "ses_default")
            await live_and_die(cluster, "ses_acme", project="acme")
            async with kept(cluster, worker()):
                pass
            await until(lambda: len(receiver.heard) >= 3, seconds=LONG)
        assert receiver.types() == ["session.ended", "worker.joined", "worker.left"]
        assert {event["data"].get("session") for event in receiver.heard} == {"ses_acme", None}


async def test_what_is_too_old_or_not_wanted_any_more_is_dropped_and_counted(valkey: EmbeddedValkey) -> None:
    old, gone = count(WEBHOOK_DROPS, "too_old"), count(WEBHOOK_DROPS, "gone")
    async with (
        receiving(410, *[500] * 100) as receiver,
        Cluster(valkey.url) as cluster,
        kept(cluster, edge()),
        delivering(cluster, config_of(receiver.url, give_up_s=1)),
    ):
        await live_and_die(cluster, "ses_1")
        await until(lambda: count(WEBHOOK_DROPS, "too_old") == old + 2, seconds=LONG)
    assert count(WEBHOOK_DROPS, "gone") == gone + 1
    assert receiver.heard == []


async def test_an_event_goes_to_one_and_to_another_where_that_one_fell_silent(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge()):

        def group(name: str, idle_s: float) -> EventGroup:
            return EventGroup(cluster.common._functions, "g", name, project="default", members=False, idle_s=idle_s)

        first, second, heir = group("a", 600), group("b", 600), group("c", 0)
        await first.take(1)
        await live_and_die(cluster, "ses_1")
        taken = await first.take(16)
        ids = [event.id for event in taken.events]
        assert [event.type for event in taken.events] == ["session.created", "session.live", "session.ended"]
        assert (await second.take(16)).events == ()
        await first.done(ids[:1])
        await first.keep(ids[1:])
        assert [event.id for event in (await heir.take(16)).events] == ids[1:]
        await first.keep(ids[1:])
        await heir.done(ids[1:])
        assert (await heir.take(16)).events == ()


async def test_what_nobody_took_before_it_was_dropped_is_a_gap(server: EmbeddedValkey) -> None:
    async with Cluster(server.url) as cluster, kept(cluster, edge()):
        group = EventGroup(cluster.common._functions, "g", "a", project="default", members=False, idle_s=0)
        await group.take(1)
        await live_and_die(cluster, "ses_1")
        assert not (await group.take(1)).gap
        stream = f"{cluster.common._functions.prefix}:events"
        await (await cluster.common._functions._redis.server("")).xtrim(stream, maxlen=0, approximate=False)
        await live_and_die(cluster, "ses_2")
        taken = await group.take(16)
        assert taken.gap
        assert taken.dropped == 1
        assert not (await group.take(16)).gap
        await (await cluster.common._functions._redis.server("")).delete(stream)
        await live_and_die(cluster, "ses_3")
        assert len((await group.take(16)).events) == 3, "a memory that was lost is told from its beginning"


async def test_a_signaling_node_delivers(valkey: EmbeddedValkey) -> None:
    async with receiving() as receiver, Cluster(valkey.url) as cluster, kept(cluster, edge()):
        await cluster.common.event_group("webhook:crm", "first", project="default", members=False).take(1)
        endpoint = {"url": receiver.url, "secrets": [SECRET]}
        async with signaling(valkey, webhooks={"endpoints": {"crm": endpoint}}):
            await live_and_die(cluster, "ses_1")
            await until(lambda: len(receiver.heard) == 3, seconds=LONG)
    assert receiver.types() == LIFE
