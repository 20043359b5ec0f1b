"""Writes the dashboards into the chart, from where compose.yaml takes them too: `python -m deploy.grafana.generate`."""

from __future__ import annotations

from pathlib import Path

from deploy.grafana.boards import DASHBOARDS
from deploy.grafana.model import document

FOLDER = Path(__file__).parent.parent / "helm" / "antiphon" / "files" / "dashboards"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(document(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
