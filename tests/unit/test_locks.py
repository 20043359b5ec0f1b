"""Locks have all that the project asks for, at versions that it asks for, by hashes, and from nowhere in particular."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy" / "docker" / "requirements"
DEV, TOOLS = ROOT / "requirements" / "dev.txt", ROOT / "requirements" / "tools.txt"
LOCKS = [DEV, TOOLS, *sorted(IMAGES.glob("*.txt"))]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(lock: Path) -> dict[str, set[str]]:
    """Versions by name: several where platforms or Pythons differ."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE):
        found[canonicalize_name(name)].add(version)
    return dict(found)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_each_entry_has_hashes_and_no_place_to_come_from(lock: Path) -> None:
    text = re.sub(r"^ *#.*$", "", lock.read_text(), flags=re.MULTILINE)
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+==", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert not re.search(r"https?://|--index|--extra-index|--find-links|file:| @ ", text)


@pytest.mark.parametrize(
    ("lock", "asked"),
    [
        (DEV, PYPROJECT["project"]["dependencies"] + PYPROJECT["dependency-groups"]["dev"]),
        (TOOLS, PYPROJECT["dependency-groups"]["tools"]),
        (IMAGES / "build.txt", PYPROJECT["build-system"]["requires"]),
    ],
    ids=["dev", "tools", "build"],
)
def test_a_lock_has_what_the_project_asks_for(lock: Path, asked: list[str]) -> None:
    versions = locked(lock)
    for text in asked:
        requirement = Requirement(text)
        found = versions.get(canonicalize_name(requirement.name), set())
        assert any(requirement.specifier.contains(version) for version in found), f"{text}: run make lock"


@pytest.mark.parametrize("lock", sorted(IMAGES.glob("*.txt")), ids=lambda lock: lock.name)
def test_images_have_the_versions_that_are_tested(lock: Path) -> None:
    tested = locked(DEV)
    for name, versions in locked(lock).items():
        assert versions <= tested.get(name, versions), f"{name}: run make lock"


def test_images_are_built_from_locks_alone() -> None:
    texts = [(ROOT / "deploy" / "docker" / name).read_text() for name in ("Dockerfile", "install.sh")]
    for install in re.findall(r"pip install [^&\n]*", "\n".join(texts)):
        assert "--require-hashes" in install or "--no-deps" in install, install


def test_the_rust_workspace_is_locked() -> None:
    lock = tomllib.loads((ROOT / "services" / "media-plane" / "Cargo.lock").read_text())
    for package in lock["package"]:
        assert "source" not in package or "checksum" in package, package["name"]
    for file in ROOT.glob("services/media-plane/**/Cargo.toml"):
        manifest = tomllib.loads(file.read_text())
        for name, wish in manifest.get("dependencies", {}).items():
            assert not (isinstance(wish, dict) and "git" in wish), f"{file}: {name}"
