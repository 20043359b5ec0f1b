"""Two networks and what joins them: the caller's namespace, the site's with a whole cluster in it, and bad paths.

The site's services have one address on its loopback device, so that every path leads to it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.support import impaired
from tests.support.cluster import START_SECONDS, LocalCluster
from tests.support.namespaces import namespace, veth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.impaired import Impairer
    from tests.support.namespaces import Namespace

SITE = "10.77.0.1"
KEY_ID, SECRET = "interop", "a-secret-of-the-tests-own"
TOKEN = f"{KEY_ID}.{SECRET}"
AGENTS = Path(__file__).resolve().parents[1] / "integration" / "agents.py"
_SETTINGS = {
    "ANTIPHON_SIGNALING__HOST": SITE,
    "ANTIPHON_EDGE__HOST": SITE,
    "ANTIPHON_AUTH__MODE": "keys",
    "ANTIPHON_AUTH__API_KEYS": f'{{"{KEY_ID}": "{SECRET}"}}',
}


@dataclass(frozen=True)
class World:
    """`url` is where callers reach the API; `path` what becomes of their packets (`up` is towards the site)."""

    caller: Namespace
    site: Namespace
    url: str
    path: Impairer

    def session(self, session: str) -> dict[str, Any]:
        """A session as its edge sees it, asked at the site, so that the answer owes nothing to the path."""
        return self._get(f"/v1/sessions/{session}")

    def newest(self) -> dict[str, Any]:
        """The session that began last."""
        return dict(self._get("/v1/sessions?limit=1")["sessions"][0])

    def whole(self) -> bool:
        """Whether signaling knows both edges and the worker."""
        return len(self._get("/v1/edges")["edges"]) == 2 and len(self._get("/v1/workers")["workers"]) == 1

    def _get(self, path: str) -> dict[str, Any]:
        with self.site.entered():
            response = httpx.get(
                f"{self.url}{path}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10, trust_env=False
            )
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found


@contextmanager
def world() -> Iterator[World]:
    """One impaired path, perfect at first: the caller's eth0 is 10.77.1.2."""
    with ExitStack() as stack:
        caller = stack.enter_context(namespace("caller"))
        site = stack.enter_context(namespace("site"))
        site.address("lo", f"{SITE}/32")
        path = stack.enter_context(impaired.routed(caller, "eth0", site, "wan0"))
        site.address("wan0", "10.77.1.1/24")
        caller.address("eth0", "10.77.1.2/24")
        caller.ip("route", "add", "default", "via", "10.77.1.1", "metric", "100")
        with site.entered():
            cluster = stack.enter_context(LocalCluster("--agents", str(AGENTS), env=_SETTINGS))
        made = World(caller, site, cluster.url, path)
        deadline = time.monotonic() + START_SECONDS
        while not made.whole():
            assert time.monotonic() < deadline, "the cluster did not come together"
            time.sleep(0.1)
        yield made


@contextmanager
def cable(world: World, number: int, device: str, *, metric: int) -> Iterator[None]:
    """Another way to the site: a veth that is the caller's `device` with the address 10.77.<number>.2.

    What is sent from that address leaves by it, whatever the metric, as on telephones and desktops.
    """
    own, gateway, table = f"10.77.{number}.2", f"10.77.{number}.1", str(100 + number)
    with veth(world.caller, device, world.site, f"lan{number}"):
        world.site.address(f"lan{number}", f"{gateway}/24")
        world.caller.address(device, f"{own}/24")
        world.caller.ip("route", "add", "default", "via", gateway, "metric", str(metric))
        world.caller.ip("route", "add", "default", "via", gateway, "table", table)
        world.caller.ip("rule", "add", "from", own, "table", table)
        try:
            yield
        finally:
            world.caller.ip("rule", "delete", "from", own)
