"""Prints what pyproject.toml asks for, a requirement a line: the environment comes before the native build."""

from __future__ import annotations

import tomllib
from pathlib import Path


def main() -> None:
    with (Path(__file__).parent.parent / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    print("\n".join([*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]))


if __name__ == "__main__":
    main()
