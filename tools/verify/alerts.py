"""Injects real faults into a real cluster, and waits until a real Prometheus fires their alerts (`make alerts-check`).

So that nobody waits for hours, the rules' windows are HASTE times shorter; their expressions are otherwise those of the
chart. What cannot be injected on one machine, promtool's tests hold. docs/runbooks.md lists which is which.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml
from aiortc import RTCPeerConnection
from tests.support.certificates import Authority
from tests.support.cluster import LocalCluster, Valkey
from tests.support.prometheus import RULES, scraping
from tests.support.wait import until

from antiphon.client import Caller, CallError
from antiphon.cluster import Cluster, WorkerRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

HASTE = 30
CAPACITY = 60
SECRET = "registration-secret"  # noqa: S105 - of a cluster that lives for minutes
PATIENCE_S = 240.0
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_AGENT = """\
from antiphon.worker import Session, Worker

worker = Worker()


@worker.agent("broken")
async def broken(session: Session) -> None:
    raise RuntimeError("a defect")
"""


def hastened(rules: str) -> str:
    """The same rules with shorter windows: none is under four scrapes, and none waits under one."""

    def shorter(found: re.Match[str], least: int) -> str:
        return f"{max(least, round(int(found[1]) * _SECONDS[found[2]] / HASTE))}s"

    document = yaml.safe_load(rules)
    for group in document["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"(?<=\[)(\d+)([smh])(?=\])", lambda found: shorter(found, 4), rule["expr"])
            if "for" in rule:
                rule["for"] = re.sub(r"(\d+)([smh])", lambda found: shorter(found, 1), rule["for"])
    return yaml.safe_dump(document)


class Watch:
    """What Prometheus fires."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.seen: set[str] = set()

    def firing(self) -> set[str]:
        try:
            told = httpx.get(f"{self._url}/api/v1/alerts", timeout=20, trust_env=False).json()["data"]["alerts"]
        except httpx.TransportError:  # it starts
            return set()
        return {alert["labels"]["alertname"] for alert in told if alert["state"] == "firing"}

    async def expect(self, fault: str, *alerts: str) -> None:
        """Raises TimeoutError."""
        began = time.monotonic()

        def fired() -> bool:
            self.seen |= self.firing()
            return set(alerts) <= self.seen

        await until(fired, seconds=PATIENCE_S, every=0.5, what=f"{' and '.join(sorted(set(alerts) - self.seen))}")
        print(f"{fault}: {', '.join(alerts)} after {time.monotonic() - began:.0f} s", flush=True)


async def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "broken.py").write_text(_AGENT)
        (folder / "rules.yaml").write_text(hastened(RULES.read_text()))
        (folder / "valkey").mkdir()
        valkey = Valkey(folder / "valkey")
        valkey.start()
        try:
            tls = Authority().issue(folder / "tls", days=3).settings
            env = {
                "ANTIPHON_REGISTRATION_SECRETS": json.dumps([SECRET]),
                "ANTIPHON_EDGE__CAPACITY": str(CAPACITY),
                "ANTIPHON_WORKER__CAPACITY": str(CAPACITY),
                **{f"ANTIPHON_CONTROL_TLS__{name.upper()}": path for name, path in tls.items()},
            }
            options = ("--regions", "frankfurt", "--no-console", "--agents", str(folder / "broken.py"))
            with (
                LocalCluster(*options, "--redis-url", valkey.url, env=env) as cluster,
                scraping(cluster, folder, folder / "rules.yaml") as url,
            ):
                await faults(cluster, valkey, Watch(url))
        finally:
            valkey.kill()
    return 0


async def faults(cluster: LocalCluster, valkey: Valkey, watch: Watch) -> None:
    await watch.expect("a certificate of three days", "AntiphonCertificateExpires")
    if others := watch.firing() - {"AntiphonCertificateExpires"}:
        raise SystemExit(f"without a fault there fire {', '.join(sorted(others))}")
    async with again_and_again(partial(unsigned_member, valkey, count(1))):
        await watch.expect("a member that nobody signed", "AntiphonUnsignedMembers")
    async with again_and_again(partial(broken_call, cluster), at_once=8):
        await watch.expect("an agent that raises", "AntiphonAgentErrors")
    async with again_and_again(partial(unreachable_worker, valkey)):
        await watch.expect("a worker whose link edges cannot reach", "AntiphonLinkDown")
    with stopped(cluster, "worker"):
        await watch.expect("a worker that is stopped (SIGSTOP)", "AntiphonServiceDown")
    await until(lambda: takes_calls(cluster), seconds=PATIENCE_S, every=1, what="a worker that takes calls again")
    placed, refused = await offers(cluster, CAPACITY + 40)
    print(f"{placed} offers whose callers never come, {refused} refused", flush=True)
    await watch.expect("more calls than places", "AntiphonEdgesFull", "AntiphonWorkersFull", "AntiphonPlacementRefused")
    valkey.signal(signal.SIGSTOP)
    try:
        await watch.expect("Redis that does not answer (SIGSTOP)", "AntiphonRedisFailing", "AntiphonLeaseChurn")
        await watch.expect("callers that never came", "AntiphonSetupFailing")
        await watch.expect("their ends, without Redis", "AntiphonReleasesWaiting")
    finally:
        valkey.signal(signal.SIGCONT)
    print(f"{len(watch.seen)} alerts fired, each by its fault", flush=True)


@asynccontextmanager
async def again_and_again(fault: Callable[[], Awaitable[None]], at_once: int = 1) -> AsyncIterator[None]:
    async def repeat() -> None:
        while True:
            await fault()

    tasks = [asyncio.create_task(repeat()) for _ in range(at_once)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def unsigned_member(valkey: Valkey, numbers: Iterator[int]) -> None:
    """Registers a worker without the secret, for a second."""
    record = WorkerRecord(id=f"stranger-{next(numbers)}", link="127.0.0.1:1", agents=("echo",), capacity=1)
    async with Cluster(valkey.url) as unsigned:
        with suppress(TimeoutError):
            await asyncio.wait_for(unsigned.keep(lambda: record), 1)


async def unreachable_worker(valkey: Valkey) -> None:
    """Registers a worker as it must, with an address where nobody listens."""
    record = WorkerRecord(id="unreachable", link="127.0.0.1:1", agents=("nobody",), capacity=1)
    async with Cluster(valkey.url, secrets=[SECRET]) as signed:
        await signed.keep(lambda: record)


async def broken_call(cluster: LocalCluster) -> None:
    with suppress(CallError):  # it may end while it is set up
        async with Caller(cluster.url, agent="broken"):
            await asyncio.sleep(0.5)


@contextmanager
def stopped(cluster: LocalCluster, part: str) -> Iterator[None]:
    (process,) = (pid for pid, line in cluster.processes().items() if f"antiphon.cli {part}" in line)
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def takes_calls(cluster: LocalCluster) -> bool:
    return any(not worker["draining"] for worker in cluster.get("/v1/workers").json()["workers"])


async def offers(cluster: LocalCluster, count: int) -> tuple[int, int]:
    """Asks for calls that nobody connects; returns how many were placed and refused."""
    peer = RTCPeerConnection()
    peer.addTransceiver("audio")
    await peer.setLocalDescription(await peer.createOffer())
    body: dict[str, Any] = {"sdp": peer.localDescription.sdp, "agent": "echo"}
    async with httpx.AsyncClient(base_url=cluster.url, timeout=60, trust_env=False) as http:
        codes = [(await http.post("/v1/sessions", json=body)).status_code for _ in range(count)]
    await peer.close()
    if odd := set(codes) - {201, 503}:
        raise SystemExit(f"offers were answered {json.dumps(sorted(odd))}")
    return codes.count(201), codes.count(503)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
