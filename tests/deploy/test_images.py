"""What images are built from: the package's own requirements, locked with hashes; a role has what it imports."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "docker"
ROLES = ("signaling", "edge", "worker")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def asked(file: Path) -> dict[str, str]:
    """Requirements by name, those of included files too."""
    found: dict[str, str] = {}
    for line in file.read_text().splitlines():
        if line.startswith("-r "):
            found |= asked(file.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            requirement = line.partition(";")[0].strip()
            found[re.split(r"[<>=\[]", requirement, maxsplit=1)[0]] = requirement
    return found


@pytest.mark.parametrize("role", ROLES)
def test_a_role_asks_for_what_the_package_asks_for(role: str) -> None:
    extras = [one for group in PROJECT["optional-dependencies"].values() for one in group]
    package = {requirement.partition(";")[0].strip() for requirement in PROJECT["dependencies"] + extras}
    assert set(asked(FOLDER / "requirements" / f"{role}.in").values()) <= package


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_locked_with_hashes(role: str) -> None:
    text = (FOLDER / "requirements" / f"{role}.txt").read_text()
    locked = re.findall(r"^([a-z0-9-]+)==[^\n]+", text, re.MULTILINE)
    assert {name.lower().replace("_", "-") for name in asked(FOLDER / "requirements" / f"{role}.in")} <= set(locked)
    for block in re.split(r"\n(?=[a-z0-9])", text)[1:]:
        assert "--hash=sha256:" in block, block


def test_together_the_roles_have_every_dependency_of_the_package() -> None:
    of_roles = {name for role in ROLES for name in asked(FOLDER / "requirements" / f"{role}.in")}
    needed = {re.split(r"[<>=\[]", requirement, maxsplit=1)[0] for requirement in PROJECT["dependencies"]}
    assert needed <= of_roles


@pytest.mark.parametrize("role", ROLES)
def test_an_image_runs_its_role_as_a_user_by_number(role: str) -> None:
    stages = (FOLDER / "Dockerfile").read_text().split("\nFROM ")
    (runtime,) = (stage for stage in stages if stage.splitlines()[0].endswith(" AS runtime"))
    (stage,) = (stage for stage in stages if stage.splitlines()[0] == f"runtime AS {role}")
    assert "USER 10001:10001" in runtime
    assert "USER" not in stage
    assert f'ENTRYPOINT ["antiphon", "{role}"]' in stage


def test_images_say_what_they_are() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert f"ARG VERSION={PROJECT['version']}\n" in text
    for label in ("title", "description", "licenses", "version", "revision", "base.name"):
        assert f"org.opencontainers.image.{label}=" in text


def test_compose_gives_prometheus_and_grafana_what_the_repository_has() -> None:
    folder = ROOT / "deploy"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    assert services.keys() == {"valkey", *ROLES, "prometheus", "grafana"}
    for service in ("prometheus", "grafana"):
        for volume in services[service]["volumes"]:
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (folder / source).exists(), source
    scraped = yaml.safe_load((folder / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    assert {job["job_name"] for job in scraped} == {f"antiphon-{role}" for role in ROLES}
    for job in scraped:
        host, _, port = job["static_configs"][0]["targets"][0].partition(":")
        assert host in services
        assert port in {"8080", "4002", "4102"}


def test_no_secret_has_a_default_in_compose() -> None:
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    for name in ("ANTIPHON_API_KEYS", "ANTIPHON_CLUSTER_SECRET"):
        assert f"${{{name}:?" in text
