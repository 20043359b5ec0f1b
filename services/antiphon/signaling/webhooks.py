"""Sends events to the receivers that are configured: at least once each, signed, and again where a receiver fails."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx

from antiphon import telemetry, webhooks
from antiphon.cluster import COMMON
from antiphon.errors import UnavailableError
from antiphon.signaling.metrics import WEBHOOK_ATTEMPTS, WEBHOOK_DROPS, WEBHOOKS_UNDER_WAY

if TYPE_CHECKING:
    from antiphon.cluster import Cluster, Event, EventGroup
    from antiphon.config_webhooks import WebhookEndpoint, WebhooksConfig

_log = telemetry.get_logger("signaling")
_POLL_S = 0.5
_KEEP_S = 15.0  # a quarter of the time after which another node takes over
_AT_ONCE = 16
_LEAVE_S = 1.0
FIRST_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0


async def deliver_webhooks(
    config: WebhooksConfig, cluster: Cluster, node: str, *, first_retry_s: float = FIRST_RETRY_S
) -> None:
    """Until cancelled. All nodes share the work: what one has begun and not finished, another takes over."""
    if not config.endpoints:
        return
    consumer = f"{node}-{secrets.token_hex(4)}"
    # Neither proxies of the environment nor redirects: an event goes where the configuration says, or nowhere.
    client = httpx.AsyncClient(
        timeout=config.timeout_s, follow_redirects=False, trust_env=False, headers={"User-Agent": "Antiphon-Webhooks/1"}
    )
    async with client, asyncio.TaskGroup() as tasks:
        for name, endpoint in config.endpoints.items():
            groups = cluster.event_groups(
                f"webhook:{name}", consumer, project=endpoint.project, members=endpoint.members
            )
            for cell, group in groups.items():
                tasks.create_task(_Receiver(name, endpoint, config, (cell, group), client, first_retry_s).run())


class _Receiver:
    """One endpoint, as this node tells it of one Redis's events."""

    def __init__(
        self,
        name: str,
        endpoint: WebhookEndpoint,
        config: WebhooksConfig,
        source: tuple[str, EventGroup],
        client: httpx.AsyncClient,
        first_retry_s: float,
    ) -> None:
        self._name = name
        self._endpoint = endpoint
        self._config = config
        cell, self._group = source
        self._prefix = "evt_" if cell == COMMON else f"evt_{cell}_"  # two Redises may name events alike
        self._gauge = WEBHOOKS_UNDER_WAY.labels(name, cell)
        self._client = client
        self._first_retry_s = first_retry_s
        self._secrets = [secret.get_secret_value() for secret in endpoint.secrets]
        self._under_way: set[str] = set()
        self._done: list[str] = []
        self._kept_at = time.monotonic()
        self._gap = False
        self._gauge.set(0)

    async def run(self) -> None:
        failing = False
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    more = False
                    try:
                        more = await self._step(tasks)
                        failing = False
                    except UnavailableError as error:
                        if not failing:
                            _log.warning("webhooks wait for Redis", endpoint=self._name, error=str(error))
                        failing = True
                    if not more or len(self._under_way) >= _AT_ONCE:
                        await asyncio.sleep(_POLL_S)
        finally:
            with suppress(UnavailableError, TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    await self._settle()

    async def _step(self, tasks: asyncio.TaskGroup) -> bool:
        """Whether there may be more at once. Raises UnavailableError."""
        await self._settle()
        if self._under_way and time.monotonic() - self._kept_at >= _KEEP_S:
            await self._group.keep(sorted(self._under_way))
            self._kept_at = time.monotonic()
        room = _AT_ONCE - len(self._under_way)
        if room <= 0:
            return False
        taken = await self._group.take(room)
        if taken.dropped or (taken.gap and not self._gap):
            WEBHOOK_DROPS.labels(self._name, "not_kept").inc(max(1, taken.dropped))
            _log.error("events are no longer kept that a webhook has not heard", endpoint=self._name)
        self._gap = taken.gap
        for event in taken.events:
            if event.id in self._under_way:
                continue
            if not self._endpoint.wants(event.type):
                self._done.append(event.id)
                continue
            self._under_way.add(event.id)
            tasks.create_task(self._deliver(event))
        self._gauge.set(len(self._under_way))
        return taken.more

    async def _settle(self) -> None:
        """Says what is done; until it is heard, another node may do it again."""
        if self._done:
            ids = list(self._done)
            await self._group.done(ids)
            del self._done[: len(ids)]

    async def _deliver(self, event: Event) -> None:
        body = _body(event)
        waits = self._first_retry_s
        try:
            while True:
                outcome = await self._attempt(event, body)
                WEBHOOK_ATTEMPTS.labels(self._name, outcome).inc()
                if outcome == "delivered":
                    break
                if outcome == "gone":
                    self._drop(event, "gone")
                    break
                if time.time() + waits - _happened(event) > self._config.give_up_s:
                    self._drop(event, "too_old")
                    break
                await asyncio.sleep(waits * random.uniform(0.5, 1.5))  # noqa: S311 - to spread, not to hide
                waits = min(2 * waits, _LONGEST_RETRY_S)
            self._done.append(event.id)
        finally:
            self._under_way.discard(event.id)
            self._gauge.set(len(self._under_way))

    async def _attempt(self, event: Event, body: bytes) -> str:
        """delivered, gone, refused, redirect, timeout or unreachable. The answer's body is not read."""
        headers = webhooks.headers(f"{self._prefix}{event.id}", body, self._secrets) | {
            "Content-Type": "application/json"
        }
        url = self._endpoint.url.get_secret_value()
        try:
            async with (
                asyncio.timeout(self._config.timeout_s),
                self._client.stream("POST", url, content=body, headers=headers) as reply,
            ):
                if reply.is_success:
                    return "delivered"
                if reply.status_code == httpx.codes.GONE:
                    return "gone"
                return "redirect" if reply.is_redirect else "refused"
        except (TimeoutError, httpx.TimeoutException):
            return "timeout"
        except (httpx.HTTPError, OSError):  # its words may hold the address, which may be secret
            return "unreachable"

    def _drop(self, event: Event, reason: str) -> None:
        WEBHOOK_DROPS.labels(self._name, reason).inc()
        _log.error(
            "a webhook is given up", endpoint=self._name, event_id=event.id, event_type=event.type, reason=reason
        )


def _happened(event: Event) -> float:
    """Seconds since 1970, by Redis's clock."""
    return int(event.id.partition("-")[0]) / 1000


def _body(event: Event) -> bytes:
    when = datetime.fromtimestamp(_happened(event), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"type": event.type, "timestamp": when, "data": event.data}, separators=(",", ":")).encode()
