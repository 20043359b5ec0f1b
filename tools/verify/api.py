"""Sends live signaling nodes whatever their OpenAPI document allows, and what it does not (`make api-check`).

Schemathesis makes the requests and judges the answers: no 5xx, answers as documented, what breaks a schema refused.
One cluster is real, of two regions with a Redis each, and records and rebalances. With a real edge it is not asked
whether all that keeps to a schema is accepted: an offer is more than text. It is of nodes without and with keys before
an edge's double, which takes any.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.cluster import LocalCluster
from tests.support.edge_double import EdgeDouble, serving
from tests.support.members import edge, kept, worker
from tests.support.signaling import served
from tests.support.tokens import AUTH, by_key
from tools.verify.steps import ROOT, TOOLS

from antiphon.cluster import Cluster
from antiphon.cluster.embedded import EmbeddedValkey

EXAMPLES = 30
"""For each operation and phase."""
_STREAM = "/v1/events"
"""Its answer lasts for a quarter of an hour: tests/unit/test_signaling_events.py reads it."""
_NO_LIMIT = {"per_second": 100_000, "burst": 1_000_000}
_KEYS: dict[str, Any] = {
    **AUTH,
    "limits": dict.fromkeys(("per_key", "per_subject", "per_address"), _NO_LIMIT),
}
_SETTINGS = """
[checks.positive_data_acceptance]
# Documented answers to what keeps to its schema: If-Match names another ICE session, or is missing.
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 412, 428, 429, "5xx"]

[checks.negative_data_rejection]
# If-Match is looked at before the body.
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428, 429, "5xx"]

[[operations]]
include-path-regex = "/recording"
# That a session was made does not say that it is recorded, nor its end that its recording is gone.
checks.ensure_resource_availability.enabled = false
checks.use_after_free.enabled = false

[[operations]]
include-path-regex = "^/v1/sessions/[^/]*(/turns)?$"
# DELETE ends a session, whose record stays readable for an hour.
checks.use_after_free.enabled = false
"""


async def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        recorded = {"ANTIPHON_RECORDING__ENABLED": "true", "ANTIPHON_RECORDING__PATH": folder}
        moved = {"ANTIPHON_PLACEMENT__REBALANCE__ENABLED": "true"}
        options = ("--regions", "frankfurt,tokyo", "--redis-per-region", "--no-console")
        with LocalCluster(*options, env=recorded | moved) as cluster:
            failed = await _check(cluster.url, "--exclude-checks", "positive_data_acceptance")
    async with (
        EmbeddedValkey() as valkey,
        serving(EdgeDouble()) as control,
        Cluster(valkey.url) as there,
        kept(there, edge(control=control, capacity=100_000), worker(capacity=100_000)),
    ):
        async with served(valkey) as url:
            failed |= await _check(url)
        async with served(valkey, auth=_KEYS) as url:
            authorization = by_key("boss")["Authorization"]
            failed |= await _check(url, "--header", f"Authorization: {authorization}")
    return failed


async def _check(url: str, *options: str) -> int:
    """Schemathesis' exit code. All of its checks are on unless one is taken out."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "schemathesis.toml"
        settings.write_text(_SETTINGS)
        running = await asyncio.create_subprocess_exec(
            *(str(TOOLS / "schemathesis"), "--config-file", str(settings), "--no-color"),
            *("run", f"{url}/openapi.json", "--exclude-path", _STREAM, "--continue-on-failure"),
            *("--max-examples", str(EXAMPLES), "--request-timeout", "30", *options, *sys.argv[1:]),
            cwd=folder,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tools.verify.api_hooks", "PYTHONPATH": str(ROOT)},
        )
        return await running.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
