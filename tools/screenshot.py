"""Makes docs/console.png: a call with the parrot at a running cluster, seen through the console while it lasts.

    antiphon up &
    python tools/screenshot.py [URL] [FILE] [--dark]

Chromium speaks three sentences into its microphone; the third one cuts into the parrot's second answer.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support import speech  # noqa: E402 - found only from here on
from tests.support.browser import chromium  # noqa: E402

RATE = 48000
SCRIPT = (
    (1.2, "One voice calls, and another answers."),
    (4.2, "Tell me everything that I have just told you."),
    (1.5, "Stop, I know."),
    (20.0, ""),
)
"""Seconds of silence, then words."""


def microphone(folder: Path) -> Path:
    pieces = [piece for pause, words in SCRIPT for piece in (speech.silence(pause, RATE), spoken(words))]
    return speech.write_wav(folder / "microphone.wav", np.concatenate(pieces), RATE)


def spoken(words: str) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return speech.say(words, RATE) if words else np.zeros(0, np.int16)


async def shoot(url: str, file: Path, *, dark: bool, width: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with chromium(microphone(Path(folder))) as browser:
            page = await browser.new_page(
                permissions=["microphone"],
                color_scheme="dark" if dark else "light",
                viewport={"width": width, "height": 900},
                device_scale_factor=1.5,
            )
            await page.goto(url)
            await page.locator("#talk:enabled").click()
            await page.locator('#stage[data-state="connected"]').wait_for()
            await page.locator("#events .agent").nth(2).wait_for(state="attached", timeout=40_000)
            await asyncio.sleep(0.2)  # in the middle of the third answer
            await page.mouse.move(0, 0)
            await page.screenshot(path=file, full_page=True)
            await page.locator("#talk").click()
            await page.locator('#stage[data-state="idle"]').wait_for()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8080")
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "docs" / "console.png")
    parser.add_argument("--dark", action="store_true", help="in the dark theme")
    parser.add_argument("--width", type=int, default=1280, help="of the page, in CSS pixels")
    arguments = parser.parse_args()
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    asyncio.run(shoot(arguments.url, arguments.file, dark=arguments.dark, width=arguments.width))


if __name__ == "__main__":
    main()
