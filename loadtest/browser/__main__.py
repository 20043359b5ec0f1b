"""`make bench-browser`: how much later a person's words come back through Chromium, an edge and an echo agent.

Mouth to ear and back: Chromium's capture, its packets of 20 ms, the edge, the worker, the edge, Chromium's jitter
buffer. The same with Chromium calling itself tells what it costs alone. Words are synthesised; their delays are read
from a recording of both sides in the page. Writes `bench-results/browser.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tests.support import speech
from tests.support.browser import CHROMIUM, WHY_SKIPPED, chromium

from loadtest.browser.delays import delays_ms
from loadtest.browser.sides import RATE, call_alone, prepare, recorded
from loadtest.kinds.voices import trimmed
from loadtest.measuring import servers
from loadtest.measuring.tools import ROOT, BenchError
from loadtest.measuring.tools import say as progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGET_MS = 150.0
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MICROPHONE = 48_000
_SETTLED_S = 6.0
"""Of set-up, and of Chromium's gain and jitter buffer finding their place."""
_PAUSES_S = (0.7, 1.1)


def spoken(count: int, seed: int) -> NDArray[np.int16]:
    """So many words, with pauses of chance between them, so that frames begin anywhere in them."""
    random = np.random.default_rng(seed)
    pieces = [speech.silence(_SETTLED_S, _MICROPHONE)]
    for at in range(count):
        pieces.append(trimmed(speech.say(_WORDS[at % len(_WORDS)], _MICROPHONE)))
        pieces.append(speech.silence(random.uniform(*_PAUSES_S), _MICROPHONE))
    return np.concatenate(pieces)


async def measure(url: str, microphone: Path, seconds: float, *, alone: bool) -> list[float]:
    """One call: the delay of each word, in ms."""
    async with chromium(microphone) as browser:
        page = await browser.new_page(permissions=["microphone"])
        await prepare(page)
        await page.goto(url)
        if alone:
            await call_alone(page)
        else:
            await page.locator('.chip:has(input[name="agent"][value="echo"])').click()
            await page.locator(f'.chip:has(input[name="region"][value="{servers.REGION}"])').click()
            await page.locator("#talk").click()
        await asyncio.sleep(seconds)
        sides = await recorded(page)
    return delays_ms(sides.said, sides.came, RATE)


def row(name: str, found: list[float], words: int) -> str:
    p50, p95, most = np.percentile(found or [float("nan")], [50, 95, 100])
    return f"| {name} | {len(found)} of {words} | {p50:.0f} ms | {p95:.0f} ms | {most:.0f} ms |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results")
    arguments = parser.parse_args()
    if CHROMIUM is None:
        raise BenchError(WHY_SKIPPED)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as directory, servers.antiphon(console=True) as server:
        url = server.url.partition("/v1/")[0]
        said = spoken(arguments.words, arguments.seed)
        microphone = speech.write_wav(Path(directory) / "microphone.wav", said, _MICROPHONE)
        for name, alone in (("Chromium alone", True), ("Chromium and Antiphon", False)):
            progress(f"{name}: {len(said) / _MICROPHONE:.0f} s")
            found[name] = asyncio.run(measure(url, microphone, len(said) / _MICROPHONE + 2, alone=alone))
    print("| a word and back, through | words | p50 | p95 | most |\n|---|---|---|---|---|")
    for name, delays in found.items():
        print(row(name, delays, arguments.words))
    whole = float(np.median(found["Chromium and Antiphon"] or [float("nan")]))
    ours = whole - float(np.median(found["Chromium alone"] or [float("nan")]))
    verdict = "met" if whole <= TARGET_MS else "missed"
    print(
        f"\nThe whole: {whole:.0f} ms (target at most {TARGET_MS:.0f}: {verdict}). More than Chromium: {ours:.0f} ms."
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "browser.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
