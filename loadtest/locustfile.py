"""Voice callers for locust: `locust -f loadtest/locustfile.py --host http://127.0.0.1:8080` (docs/load-testing.md)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "services"), str(ROOT)]

from loadtest.load import plugin  # noqa: E402 - found by what stands above
from loadtest.load.users import Canary, Flaky, Interrupter, Listener, Roamer, Talker  # noqa: E402

__all__ = ["Canary", "Flaky", "Interrupter", "Listener", "Roamer", "Talker"]

plugin.install()
