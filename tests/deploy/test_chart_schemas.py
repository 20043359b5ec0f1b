"""What the chart renders is what Kubernetes' schemas allow, by kubeconform.

It fetches schemas of Kubernetes 1.31 unless KUBECONFORM_SCHEMAS says where they are (its -schema-location, several with
commas). Kinds of others (Prometheus operator, KEDA, Gateway API) are held to where their schemas are there.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.chart import CHART, render

if TYPE_CHECKING:
    from pathlib import Path

FILES = sorted((CHART / "ci").glob("*-values.yaml"))
OF_OTHERS = {"HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject"}


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_what_is_rendered_is_what_schemas_allow(file: Path) -> None:
    objects = render({}, file).objects
    command = ["kubeconform", "-strict", "-kubernetes-version", "1.31.0", "-ignore-missing-schemas"]
    for location in filter(None, os.environ.get("KUBECONFORM_SCHEMAS", "").split(",")):
        command += ["-schema-location", location]
    done = subprocess.run(
        [*command, "-verbose", "-output", "json"],
        input=yaml.safe_dump_all(objects),
        capture_output=True,
        text=True,
        check=False,
    )
    told = json.loads(done.stdout)["resources"]
    assert not [one for one in told if one["status"] not in {"statusValid", "statusSkipped"}]
    assert {one["kind"] for one in told if one["status"] == "statusSkipped"} <= OF_OTHERS
    assert len(told) == len(objects)
