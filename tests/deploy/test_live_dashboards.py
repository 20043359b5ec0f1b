"""Every panel's expression, asked of a real Prometheus that scrapes a real cluster in which calls were made."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from deploy.grafana.check import Tally, ask_api, ask_prometheus

from antiphon.client import RATE, write_wav
from tests.support.cluster import LocalCluster
from tests.support.prometheus import scraping
from tests.support.speech import say
from tests.support.wait import until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(240)
async def test_every_panel_is_answered(tmp_path: Path) -> None:
    write_wav(tmp_path / "question.wav", say("What time is it in Tokyo?", RATE))
    with LocalCluster() as cluster, scraping(cluster, tmp_path) as url:
        session = ""
        for region in ("frankfurt", "virginia"):  # a worker that was just short of CPU takes no call for a while
            session = await until(functools.partial(call, cluster, region, tmp_path), every=1, what="a call")

        def scraped() -> bool:
            query = {"query": 'sum(increase(antiphon_edge_setup_seconds_count{step="dtls"}[1m]))'}
            try:
                answer = httpx.get(f"{url}/api/v1/query", params=query, trust_env=False)
            except httpx.TransportError:  # it starts
                return False
            return answer.is_success and bool(answer.json()["data"]["result"])

        await until(scraped, what="the calls' end in Prometheus")
        # A day's peak is asked for by quarters of a minute: one of them has to begin.
        tally = await until(lambda: all_right(ask_prometheus(url)), every=1, what="an answer to every panel")
        assert tally.found > 0.7 * tally.asked
        assert ask_api(cluster.url, session) == 0


def call(cluster: LocalCluster, region: str, folder: Path) -> str | None:
    """Returns the session's id; None where it was refused."""
    command = [sys.executable, "-m", "antiphon.cli", "call", "--url", cluster.url, "--agent", "parrot", "--json"]
    command += ["--play", str(folder / "question.wav"), "--region", region]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode:
        assert "no worker" in done.stderr, done.stderr
        return None
    return str(json.loads(done.stdout)["session"])


def all_right(tally: Tally) -> Tally | None:
    return None if tally.wrong else tally
