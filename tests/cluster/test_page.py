"""A page in Chromium, through the browser SDK, while its edge drains and is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.fleet import Fleet
from tests.support.browser import CHROMIUM, WHY_SKIPPED, chromium
from tests.support.wait import until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason=WHY_SKIPPED),
    pytest.mark.timeout(240),
]

_PAGE = """
async () => {
  const { connect } = await import("/sdk/antiphon.js");
  const context = new AudioContext();
  const source = new OscillatorNode(context, { frequency: 440 });
  const voice = context.createMediaStreamDestination();
  source.connect(voice);
  source.start();
  window.moves = [];
  window.told = [];
  window.call = connect({ agent: "pulse", region: "frankfurt", audio: voice.stream });
  call.addEventListener("moved", ({ detail }) => moves.push([detail.from, detail.edge]));
  call.addEventListener("message", ({ detail }) => told.push(detail.data));
  await call.ready;
  return call.session.edge;
}
"""


async def report(page: Page) -> dict[str, Any]:
    """How the page's frames came to its agent."""
    known = await page.evaluate("told.length")
    await page.evaluate("call.send('report')")

    async def more() -> bool:
        return bool(await page.evaluate("told.length") > known)

    await until(more, what="the agent's report")
    told: dict[str, Any] = await page.evaluate("told.at(-1)")
    return told


async def test_a_page_leaves_an_edge_that_drains_and_comes_back_when_the_next_is_killed(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with chromium() as browser:
            page = await browser.new_page()
            await page.goto(fleet.url)
            assert await page.evaluate(_PAGE) == "edge-frankfurt"

            async def speaks(frames: int) -> bool:
                return int((await report(page))["frames"]) > frames

            await until(lambda: speaks(50), every=0.2, what="a second of the page's voice")
            fleet.post("/v1/edges/edge-frankfurt:drain", {"deadline_s": 60})

            async def moved(times: int) -> bool:
                return bool(await page.evaluate("moves.length") == times)

            await until(lambda: moved(1), what="the page at another edge")
            assert await page.evaluate("moves") == [["edge-frankfurt", "edge-virginia"]]
            before = await report(page)
            await until(lambda: speaks(before["frames"] + 50), every=0.2, what="the page's voice")
            after = await report(page)
            assert after["lost"] + after["doubled"] <= 2, after
            assert await page.evaluate("call.state") == "connected"

            fleet.post("/v1/edges/edge-frankfurt:undrain", {})
            await until(lambda: not fleet.edges()["edge-frankfurt"]["draining"], every=0.2, what="an edge to go to")
            fleet.parts["edge-virginia"].kill()
            await until(lambda: moved(2), seconds=20, what="the page back at the first edge")
            before = await report(page)
            await until(lambda: speaks(before["frames"] + 50), every=0.2, what="the page's voice")
            after = await report(page)
            assert after["longest_ms"] <= 4000, after
            assert after["doubled"] <= 2
            assert await page.evaluate("call.state") == "connected"
