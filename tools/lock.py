"""Writes the locks: exact versions with hashes, by uv, for every platform and Python from 3.11 on (`make lock`).

requirements/dev.txt has what developers and continuous integration install, requirements/tools.txt what `make docs`,
`audit` and `wheels` run, deploy/docker/requirements/*.txt what images have: the same versions as were tested. What is
locked already stays as it is: `make lock ARGS=--upgrade` takes the newest, `ARGS="--upgrade-package NAME"` one of them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCKS = ROOT / "requirements"
IMAGES = ROOT / "deploy" / "docker" / "requirements"
OF_IMAGES = ("build", "signaling", "edge", "worker")
PYTHON = "3.11"


def main() -> None:
    for name in ("dev", "tools"):
        project = ["../pyproject.toml"] if name == "dev" else []
        _lock(LOCKS, name, [*project, "--group", f"../pyproject.toml:{name}"])
    for name in OF_IMAGES:
        _lock(IMAGES, name, [f"{name}.in", "--constraint", "../../../requirements/dev.txt"])


def _lock(folder: Path, name: str, sources: list[str]) -> None:
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("uv is missing: make lock has it, or pip install uv")
    command = [uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", PYTHON]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "make lock"]
    # No word of where packages came from: a lock serves whoever has another index, and hashes say that all is the same.
    command += [*sources, "--output-file", f"{name}.txt", *sys.argv[1:]]
    subprocess.run(command, cwd=folder, check=True)


if __name__ == "__main__":
    main()
