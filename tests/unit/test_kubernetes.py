"""A pod's deletion cost follows its live sessions: against an HTTPS server that answers as Kubernetes' API does."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY

from antiphon.config import KubernetesConfig
from antiphon.errors import ConfigError
from antiphon.kubernetes import ANNOTATION, DeletionCost
from tests.support.certificates import Authority
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


class Api:
    """Keeps what it was asked, and answers with `status`."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.asked: list[tuple[str, str, str, Any]] = []
        """Path, authorization, content type, body."""

    @property
    def costs(self) -> list[str]:
        return [body["metadata"]["annotations"][ANNOTATION] for *_, body in self.asked]


@contextmanager
def kubernetes(folder: Path) -> Iterator[Api]:
    """An API server with a certificate of its own authority, and the account folder of a pod beside it."""
    api = Api()
    files = Authority().issue(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.asked.append((self.path, self.headers["Authorization"], self.headers["Content-Type"], body))
            self.send_response(api.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.settings["certificate"], files.settings["key"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    (folder / "ca.crt").write_bytes((folder / "authority.pem").read_bytes())
    (folder / "namespace").write_text("voice")
    (folder / "token").write_text("first\n")
    api.url = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@asynccontextmanager
async def told(settings: KubernetesConfig, live: list[int]) -> AsyncIterator[None]:
    task = asyncio.create_task(DeletionCost(settings, lambda: live[0]).run())
    try:
        yield
        assert not task.done(), "it gave up"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def settings(api: Api, folder: Path) -> KubernetesConfig:
    return KubernetesConfig(pod="worker-7", api=api.url, account=folder, deletion_cost_every_s=0.1)


def updates(outcome: str) -> float:
    return REGISTRY.get_sample_value("antiphon_pod_cost_updates_total", {"outcome": outcome}) or 0.0


async def test_the_cost_is_told_at_the_start_and_when_sessions_come_or_go(tmp_path: Path) -> None:
    live = [3]
    with kubernetes(tmp_path) as api:
        async with told(settings(api, tmp_path), live):
            await until(lambda: api.costs == ["3"], what="the first cost")
            live[0] = 5
            await until(lambda: api.costs == ["3", "5"], what="the second")
    path, authorization, kind, _ = api.asked[0]
    assert path == "/api/v1/namespaces/voice/pods/worker-7"
    assert (authorization, kind) == ("Bearer first", "application/merge-patch+json")


async def test_a_token_that_was_renewed_is_used(tmp_path: Path) -> None:
    live = [1]
    with kubernetes(tmp_path) as api:
        async with told(settings(api, tmp_path), live):
            await until(lambda: len(api.asked) == 1, what="the first cost")
            (tmp_path / "token").write_text("second")
            live[0] = 2
            await until(lambda: len(api.asked) == 2, what="the second")
    assert [authorization for _, authorization, *_ in api.asked] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(("status", "outcome"), [(403, "refused"), (404, "refused"), (503, "failed")])
async def test_what_is_refused_or_fails_is_counted_and_tried_again(tmp_path: Path, status: int, outcome: str) -> None:
    before = updates(outcome)
    with kubernetes(tmp_path) as api:
        api.status = status
        async with told(settings(api, tmp_path), [4]):
            await until(lambda: updates(outcome) >= before + 2, what="two tries")
            api.status = 200
            tries = len(api.asked)
            await until(lambda: len(api.asked) > tries, what="another try")
    assert set(api.costs) == {"4"}


async def test_a_server_of_another_authority_gets_no_token(tmp_path: Path) -> None:
    before = updates("failed")
    with kubernetes(tmp_path) as api:
        other = Authority().issue(tmp_path / "other")
        (tmp_path / "ca.crt").write_bytes((other.folder / "authority.pem").read_bytes())
        async with told(settings(api, tmp_path), [1]):
            await until(lambda: updates("failed") > before, what="a failure")
    assert not api.asked


async def test_where_no_pod_is_named_kubernetes_is_not_asked() -> None:
    await DeletionCost(KubernetesConfig(), lambda: 1).run()


def test_outside_a_pod_it_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match="this is no pod"):
        DeletionCost(KubernetesConfig(pod="worker-7"), lambda: 0)
    with pytest.raises(ConfigError, match="mount the service account's token"):
        DeletionCost(KubernetesConfig(pod="worker-7", api="https://127.0.0.1:1", account=tmp_path), lambda: 0)


def test_the_api_is_where_a_pod_s_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "namespace").write_text("voice")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    cost = DeletionCost(KubernetesConfig(pod="worker-7", account=tmp_path), lambda: 0)
    assert cost.url == "https://[fd00::1]:443/api/v1/namespaces/voice/pods/worker-7"


def test_several_processes_of_a_pod_are_refused_since_one_would_write_over_the_other() -> None:
    command = [sys.executable, "-m", "antiphon.cli", "worker", "--processes", "2"]
    env = os.environ | {"ANTIPHON_KUBERNETES__POD": "worker-7"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    assert "run one process a pod" in done.stderr
