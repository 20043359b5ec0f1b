"""One call by aiortc: `python -m loadtest.load.canary URL AGENT`. Prints what it took, in ms by name, as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from antiphon.callers import vowels
from antiphon.client import Caller

_SAYS_S = 2.0
_HEARS_S = 6.0


async def call(url: str, agent: str) -> dict[str, float]:
    """Says something and waits until something is heard."""
    found: dict[str, float] = {}
    began = time.monotonic()
    async with Caller(url, agent=agent, token=os.environ.get("ANTIPHON_TOKEN") or None) as caller:
        found["set-up"] = (time.monotonic() - began) * 1_000
        await caller.play(vowels(_SAYS_S))
        end = time.monotonic() + _HEARS_S
        while not caller.hearing.stretches and time.monotonic() < end:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)
        heard = caller.hearing.stretches
        if not heard:
            raise SystemExit(f"nothing was heard within {_HEARS_S:.0f} s")
        found["first audio"] = heard[0].begin * 1_000
    return found


def main() -> None:
    print(json.dumps(asyncio.run(call(sys.argv[1], sys.argv[2]))))


if __name__ == "__main__":
    main()
