"""Injects real faults into a real cluster, and waits until a real Prometheus fires their alerts (`make alerts-check`).

So that nobody waits for hours, the rules' windows are HASTE times shorter; their expressions are otherwise those of the
chart. What cannot be injected on one machine, promtool's tests hold. docs/runbooks.md lists which is which.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import tempfile
import time
from functools import partial
from itertools import count
from pathlib import Path

import httpx
import yaml
from tests.support import impaired
from tests.support.certificates import Authority
from tests.support.cluster import LocalCluster, Valkey
from tests.support.prometheus import RULES, scraping
from tests.support.wait import until
from tools.verify.faults import (
    AGENTS,
    SECRET,
    again_and_again,
    broken_call,
    call_of_questions,
    comes_and_goes,
    flood,
    lossy_call,
    offers,
    process_of,
    stopped,
    takes_calls,
    talking_call,
    too_busy,
    unreachable_worker,
    unsigned_member,
)

HASTE = 30
CAPACITY = 60
PATIENCE_S = 240.0
_SECONDS = {"s": 1, "m": 60, "h": 3600}


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
        except (httpx.TransportError, ValueError):  # it starts
            return set()
        return {alert["labels"]["alertname"] for alert in told if alert["state"] == "firing"}

    async def calm(self, *alerts: str) -> None:
        """Returns once these do not fire, for what was done before. Raises TimeoutError."""
        await until(lambda: not self.firing() & set(alerts), seconds=PATIENCE_S, every=0.5, what=" and ".join(alerts))
        self.seen -= set(alerts)

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
        (folder / "agents.py").write_text(AGENTS)
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
                "ANTIPHON_WORKER__LATE_MS": "20",
                **{f"ANTIPHON_CONTROL_TLS__{name.upper()}": path for name, path in tls.items()},
            }
            options = ("--regions", "frankfurt", "--no-console", "--agents", str(folder / "agents.py"))
            with (
                LocalCluster(*options, "--redis-url", valkey.url, env=env) as cluster,
                scraping(cluster, folder, folder / "rules.yaml") as url,
            ):
                watch = Watch(url)
                await members_and_agents(cluster, valkey, watch)
                await network_and_machine(cluster, watch)
                await capacity_and_redis(cluster, valkey, watch)
                print(f"{len(watch.seen)} alerts fired, each by its fault", flush=True)
        finally:
            valkey.kill()
    return 0


async def members_and_agents(cluster: LocalCluster, valkey: Valkey, watch: Watch) -> None:
    await watch.expect("a certificate of three days", "AntiphonCertificateExpires")
    if others := watch.firing() - {"AntiphonCertificateExpires"}:
        raise SystemExit(f"without a fault there fire {', '.join(sorted(others))}")
    async with again_and_again(partial(unsigned_member, valkey, count(1))):
        await watch.expect("a member that nobody signed", "AntiphonUnsignedMembers")
    async with again_and_again(partial(broken_call, cluster), at_once=8):
        await watch.expect("an agent that raises", "AntiphonAgentErrors")
    async with again_and_again(partial(call_of_questions, cluster, "slow"), at_once=12):
        await watch.expect("an agent that thinks for two seconds", "AntiphonTurnsSlow")
    async with again_and_again(partial(unreachable_worker, valkey)):
        await watch.expect("a worker whose link edges cannot reach", "AntiphonLinkDown")


async def network_and_machine(cluster: LocalCluster, watch: Watch) -> None:
    (edge,) = cluster.get("/v1/edges").json()["edges"]
    address = edge["media"][0]
    with impaired.udp(address) as network:
        async with (
            again_and_again(partial(comes_and_goes, network)),
            again_and_again(partial(lossy_call, cluster, network.port), at_once=8),
        ):
            await watch.expect("a network that comes and goes", "AntiphonLoss")
    with flood(int(address.rsplit(":", 1)[1])):
        async with again_and_again(partial(too_busy, process_of(cluster, "edge"))):
            await watch.expect("an edge that has no time for its packets (SIGSTOP)", "AntiphonEdgeDropsMedia")
    await watch.calm("AntiphonWorkerOverloaded")
    async with again_and_again(partial(talking_call, cluster, "selfish")):
        await watch.expect("an agent that computes on the event loop", "AntiphonWorkerOverloaded")
    await until(lambda: takes_calls(cluster), seconds=PATIENCE_S, every=1, what="a worker that takes calls again")
    with stopped(cluster, "worker"):
        await watch.expect("a worker that is stopped (SIGSTOP)", "AntiphonServiceDown")
    await until(lambda: takes_calls(cluster), seconds=PATIENCE_S, every=1, what="a worker that takes calls again")


async def capacity_and_redis(cluster: LocalCluster, valkey: Valkey, watch: Watch) -> None:
    placed, refused = await offers(cluster, CAPACITY + 40)
    print(f"{placed} offers whose callers never come, {refused} refused", flush=True)
    full = "AntiphonEdgesFull", "AntiphonWorkersFull", "AntiphonPlacementRefused"
    async with again_and_again(partial(offers, cluster, CAPACITY)):  # others for those that were waited for in vain
        await watch.expect("more calls than places", *full)
    valkey.signal(signal.SIGSTOP)
    try:
        await watch.expect("Redis that does not answer (SIGSTOP)", "AntiphonRedisFailing", "AntiphonLeaseChurn")
        await watch.expect("callers that never came", "AntiphonSetupFailing")
        await watch.expect("their ends, without Redis", "AntiphonReleasesWaiting")
    finally:
        valkey.signal(signal.SIGCONT)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
