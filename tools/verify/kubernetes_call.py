"""Says a tone to the echo for a while, and tells what was heard of it: `kubernetes.sh` runs it in a worker's pod.

`python - SECONDS [moves] [recorded]`, with ANTIPHON_URL and ANTIPHON_AUTH__API_KEYS; `up EDGE` is printed when the call
is. It goes on for SECONDS at least, and until the file ENOUGH is there. Fails where the call broke off, did not move
though it should, or its recording is not whole.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.client import Caller

RATE = 48_000
LONGEST_GAP_S = 1.0
PATIENCE_S = 60.0
LONGEST_CALL_S = 600.0
ENOUGH = Path("/tmp/enough")  # noqa: S108 - an empty directory of the pod's own


def tone(seconds: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    return (12_000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.int16)


def recording_of(url: str, token: str, session: str) -> list[dict[str, Any]]:
    """Its parts, once all have ended."""
    request = urllib.request.Request(  # noqa: S310 - the service of this release
        f"{url}/v1/sessions/{session}/recording", headers={"Authorization": f"Bearer {token}"}
    )
    until = time.monotonic() + PATIENCE_S
    while True:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            parts: list[dict[str, Any]] = json.load(answer)["parts"]
        if all(part["state"] != "recording" for part in parts) or time.monotonic() > until:
            return parts
        time.sleep(1)


def wait_until_enough(seconds: float) -> None:
    begin = time.monotonic()
    while (for_s := time.monotonic() - begin) < LONGEST_CALL_S and (for_s < seconds or not ENOUGH.exists()):
        time.sleep(0.1)
    ENOUGH.unlink(missing_ok=True)


async def talk(call: Caller, seconds: float) -> float:
    """Returns how long the tone was said. Raises CallEndedError."""
    begin = time.monotonic()
    saying = asyncio.create_task(call.play(np.tile(tone(1.0), round(LONGEST_CALL_S))))
    await asyncio.to_thread(wait_until_enough, seconds)
    said = time.monotonic() - begin
    saying.cancel()
    await asyncio.wait([saying])
    if not saying.cancelled():
        saying.result()
    return said


async def main(seconds: float, wanted: set[str]) -> None:
    url = os.environ["ANTIPHON_URL"]
    key, value = next(iter(json.loads(os.environ["ANTIPHON_AUTH__API_KEYS"]).items()))
    token = f"{key}.{value if isinstance(value, str) else value['secret']}"
    async with Caller(url, agent="echo", recording="recorded" in wanted, token=token) as call:
        print(f"up {call.edge}", flush=True)
        seconds = await talk(call, seconds)
        await asyncio.sleep(1)
        stretches, moves = call.hearing.stretches, [(before, after) for _, _, before, after in call.moves]
    gap = max((after.begin - before.end for before, after in pairwise(stretches)), default=0.0)
    heard = stretches[-1].end - stretches[0].begin if stretches else 0.0
    counted = await call.statistics()
    packets = f"{counted.lost} of {counted.packets_received + counted.lost} packets lost"
    print(f"{heard:.1f} of {seconds:.0f} s came back, longest gap {gap:.2f} s, {packets}, moves {moves}")
    if heard < seconds - LONGEST_GAP_S or gap > LONGEST_GAP_S:
        sys.exit("the call broke off")
    if "moves" in wanted and not moves:
        sys.exit("the call did not move")
    if "recorded" in wanted:
        parts = await asyncio.to_thread(recording_of, url, token, call.session)
        tracks = {track["track"]: track["seconds"] for part in parts for track in part["tracks"]}
        print(f"recorded {[part['state'] for part in parts]}, seconds of tracks {tracks}")
        if [part["state"] for part in parts] != ["complete"] or min(tracks.values(), default=0) < seconds - 1:
            sys.exit("the recording is not whole")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), set(sys.argv[2:])))
