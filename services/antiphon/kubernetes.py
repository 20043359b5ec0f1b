"""Tells Kubernetes what it would cost to remove this pod: its live sessions, in the annotation pod-deletion-cost.

A ReplicaSet that shrinks removes the pods of least cost first. Nothing else is asked of Kubernetes' API. The standard
library does it, in a thread: an edge's image has no HTTP client.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from antiphon import telemetry
from antiphon.addresses import host_port
from antiphon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from antiphon.config import KubernetesConfig

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
_TIMEOUT_S = 10.0
_LONGEST_PAUSE_S = 300.0
_log = telemetry.get_logger("kubernetes")
_UPDATES = telemetry.counter(
    "pod_cost_updates",
    "Changes of an edge's or a worker's deletion cost: done, refused by Kubernetes, or failed on the way there.",
    ["outcome"],
)


class DeletionCost:
    """Keeps the annotation at the number of live sessions, with at most one request each `deletion_cost_every_s`."""

    def __init__(self, settings: KubernetesConfig, sessions: Callable[[], int]) -> None:
        """Raises ConfigError where the settings name a pod, but this process is in none."""
        self._settings = settings
        self._sessions = sessions
        self.url = _pod_url(settings) if settings.pod else ""

    async def run(self) -> None:
        """Until cancelled; returns at once where no pod is named. What fails is tried again, ever more seldom."""
        if not self.url:
            return
        every_s = pause_s = self._settings.deletion_cost_every_s
        told: int | None = None
        while True:
            cost = self._sessions()
            if cost != told:
                outcome, why = await asyncio.to_thread(_patch, self.url, self._settings.account, cost)
                _UPDATES.labels(outcome).inc()
                if outcome == "done":
                    told, pause_s = cost, every_s
                else:
                    pause_s = min(2 * pause_s, max(_LONGEST_PAUSE_S, every_s))
                    _log.warning("the pod's deletion cost was not told", outcome=outcome, why=why, again_s=pause_s)
            await asyncio.sleep(pause_s)


def _pod_url(settings: KubernetesConfig) -> str:
    api = settings.api
    if not api:
        host, port = (os.environ.get(f"KUBERNETES_SERVICE_{what}", "") for what in ("HOST", "PORT"))
        if not host or not port.isdecimal():
            raise ConfigError(
                "kubernetes.pod is set, but this is no pod: KUBERNETES_SERVICE_HOST and _PORT are missing"
            )
        api = f"https://{host_port(host, int(port))}"
    try:
        namespace = (settings.account / "namespace").read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"{settings.account}/namespace: cannot be read: {error.strerror}; mount the service account's token there, "
            "or leave kubernetes.pod empty"
        ) from None
    return f"{api}/api/v1/namespaces/{namespace}/pods/{settings.pod}"


def _patch(url: str, account: Path, cost: int) -> tuple[str, str]:
    """Returns the outcome, and why it is not "done". The token is read each time: Kubernetes renews it."""
    body = {"metadata": {"annotations": {ANNOTATION: str(cost)}}}
    try:
        token = (account / "token").read_text(encoding="utf-8").strip()
        request = urllib.request.Request(  # noqa: S310 - https, or what the configuration says
            url,
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"},
            method="PATCH",
        )
        with _opener(account, url).open(request, timeout=_TIMEOUT_S):
            return "done", ""
    except urllib.error.HTTPError as error:
        with error:
            return ("refused" if error.code < 500 else "failed"), f"HTTP {error.code}"
    except (OSError, ValueError) as error:  # no file, no way, no answer
        return "failed", str(error)


def _opener(account: Path, url: str) -> urllib.request.OpenerDirector:
    """Trusts the cluster's own authority, and asks no proxy that the environment names for agents."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith("https:"):
        trusted = ssl.create_default_context(cafile=str(account / "ca.crt"))
        handlers.append(urllib.request.HTTPSHandler(context=trusted))
    return urllib.request.build_opener(*handlers)
