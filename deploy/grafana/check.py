"""Asks a Prometheus every panel's expression: `python -m deploy.grafana.check http://127.0.0.1:9090`.

With the API's URL and a session's id behind it, it asks for the Session dashboard's columns too (ANTIPHON_TOKEN has the
token). Exit code 1 where one is refused, or where nothing comes of a panel although its metrics have series.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import Any

import httpx
from deploy.grafana.boards import DASHBOARDS

_INTERVAL = "1m"
_SELECTOR = re.compile(r"\b(?:antiphon|process)_[a-z0-9_]+(?:\{[^}]*\})?")


def main(url: str, api: str = "", session: str = "") -> int:
    """Prints a line for each expression without data, and a count."""
    wrong = ask_prometheus(url).wrong
    if api:
        wrong += ask_api(api, session)
    return int(wrong > 0)


def ask_api(url: str, session: str) -> int:
    """Returns how many columns the API does not have."""
    token = os.environ.get("ANTIPHON_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    failed = 0
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as http:
        for panel in (panel for board in DASHBOARDS for panel in board.panels):
            if panel.rows is None:
                continue
            found = http.get(panel.rows.path.replace("${session}", session)).raise_for_status().json()
            for step in filter(None, panel.rows.root.split(".")):
                found = found[step]
            rows = found if isinstance(found, list) else [found]
            missing = [name for name, _, _ in panel.rows.columns if not any(name in row for row in rows)]
            failed += len(missing)
            print(f"{panel.title}: {len(rows)} rows; columns without data: {', '.join(missing) or 'none'}")
    return failed


@dataclass
class Tally:
    """Expressions: how many were asked, have data, and are wrong."""

    asked: int = 0
    found: int = 0
    wrong: int = 0


def ask_prometheus(url: str) -> Tally:
    """Asks every panel's expression."""
    tally = Tally()
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
        for uid, panel in ((board.uid, panel) for board in DASHBOARDS for panel in board.panels):
            for query in panel.queries:
                tally.asked += 1
                answer = _ask(http, query.expression)
                if isinstance(answer, list) and answer:
                    tally.found += 1
                    continue
                wrong = answer if isinstance(answer, str) else _why_nothing(http, query.expression)
                tally.wrong += wrong is not None
                print(f"{uid}: {panel.title}: {wrong or 'nothing has happened yet'}: {query.expression}")
    print(f"{tally.found} of {tally.asked} expressions have data; {tally.wrong} are wrong")
    return tally


def _ask(http: httpx.Client, expression: str) -> list[Any] | str:
    """Series, or what Prometheus has against the expression."""
    expression = re.sub(r"\$[a-z]+", ".*", expression.replace("$__rate_interval", _INTERVAL))
    body = http.get("/api/v1/query", params={"query": expression}).json()
    return list(body["data"]["result"]) if body["status"] == "success" else str(body["error"])


def _why_nothing(http: httpx.Client, expression: str) -> str | None:
    """None where a counter that it asks for has not been counted yet, as with errors and drops."""
    if "> 0" in expression:
        return None
    selectors = _SELECTOR.findall(re.sub(r"antiphon:[a-z_0-9:]+", "", expression))
    if any(not _ask(http, selector) for selector in selectors):
        return None
    return "no data, although its metrics have series" if selectors else None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
