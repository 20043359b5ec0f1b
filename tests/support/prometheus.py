"""A real Prometheus that scrapes `antiphon up` each second."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from antiphon.cli.ports import any_free

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import LocalCluster

RULES = Path(__file__).parents[2] / "deploy" / "helm" / "antiphon" / "files" / "rules.yaml"


@contextmanager
def scraping(cluster: LocalCluster, folder: Path, rules: Path = RULES) -> Iterator[str]:
    """Yields its URL. Jobs and labels are those of deploy/prometheus/prometheus.yaml."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": list(_jobs(cluster)),
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    port = any_free()
    command = ["prometheus", f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _jobs(cluster: LocalCluster) -> Iterator[dict[str, Any]]:
    signaling = cluster.url.removeprefix("http://")
    yield _job("signaling", [(signaling, {"instance": "signaling"})]) | {"honor_labels": True}
    for role in ("edge", "worker"):
        targets = []
        for pid, line in cluster.processes().items():
            if f"antiphon.cli {role}" in line:
                told = _environment(pid)
                labels = {"instance": told[f"ANTIPHON_{role.upper()}__ID"]}
                if role == "edge":
                    labels["region"] = told["ANTIPHON_REGION__NAME"]
                targets.append((f"127.0.0.1:{told[f'ANTIPHON_{role.upper()}__HTTP_PORT']}", labels))
        yield _job(role, targets)


def _job(role: str, targets: list[tuple[str, dict[str, str]]]) -> dict[str, Any]:
    configs = [{"targets": [address], "labels": labels} for address, labels in targets]
    return {"job_name": f"antiphon-{role}", "static_configs": configs}


def _environment(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
