"""Renders the Helm chart as `helm template` does, and tells what helm said where it refuses."""

from __future__ import annotations

import subprocess
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "antiphon"
LEAST: dict[str, Any] = {"auth": {"existingSecret": "antiphon-auth"}, "valkey": {"enabled": True}}
"""The least values that the chart can be installed with."""
_TEMPLATE = ("helm", "template", "rel", str(CHART), "--namespace", "voice", "--kube-version", "1.31.0")


def least(**more: Any) -> dict[str, Any]:
    """The least values, and more by their first key."""
    return deepcopy(LEAST) | more


def region(**more: Any) -> dict[str, Any]:
    """A region, and what it sets anew."""
    return {"name": "tokyo", "latitude": 35.68, "longitude": 139.69} | more


@dataclass(frozen=True)
class Rendered:
    """Every object of a release, and what helm refused it with; one of the two is empty."""

    objects: tuple[dict[str, Any], ...] = ()
    refusal: str = ""

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = (found for found in self.of(kind) if found["metadata"]["name"] == name)
        return found

    def pods(self) -> dict[str, dict[str, Any]]:
        """Pod specifications by the name of what makes them."""
        made = [found for kind in ("Deployment", "StatefulSet") for found in self.of(kind)]
        pods = {found["metadata"]["name"]: found["spec"]["template"]["spec"] for found in made}
        return pods | {found["metadata"]["name"]: found["spec"] for found in self.of("Pod")}


def render(values: Mapping[str, Any], *files: Path) -> Rendered:
    """values are laid over those of the files, and these over the chart's own."""
    options = [option for file in files for option in ("--values", str(file))]
    done = subprocess.run(
        [*_TEMPLATE, *options, "--values", "-"],
        input=yaml.safe_dump(dict(values)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return Rendered(refusal=done.stderr)
    return Rendered(tuple(found for found in yaml.safe_load_all(done.stdout) if found))


def environment(container: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a container's variables by name; what is not plain text as Kubernetes has it."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container.get("env", [])}
