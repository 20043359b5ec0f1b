"""Full collections do not look at what a service has loaded: counted in objects, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

_SERVICE = """
import gc
loaded = [[number] for number in range(100_000)]
loaded.append(loaded)
from antiphon.garbage import set_aside
set_aside()
set_aside()
live = [[number] for number in range(1_000)]
print(len(gc.get_objects()))
lost = [[], []]
lost[0].append(lost)
del lost
print(gc.collect())
from prometheus_client import generate_latest
print(next(line for line in generate_latest().decode().splitlines() if "garbage_seconds_count" in line))
"""


def test_what_was_loaded_is_looked_at_no_more_and_what_comes_later_is() -> None:
    told = subprocess.run([sys.executable, "-c", _SERVICE], check=True, capture_output=True, text=True).stdout
    looked_at, collected, counted = told.splitlines()
    assert 1_000 < int(looked_at) < 10_000
    assert int(collected) >= 2
    assert float(counted.split()[1]) == 3
