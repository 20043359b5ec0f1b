"""The page and the SDK are where signaling looks for them, and the page asks nothing of other hosts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from antiphon.console import SDK, SDK_MODULES, SDK_TYPES, STATIC

SOURCE = Path(__file__).resolve().parents[2] / "services" / "antiphon-js"
FILES = sorted(path for path in STATIC.rglob("*") if path.suffix in {".html", ".css", ".js", ".svg"})


def test_the_served_sdk_is_the_package_itself() -> None:
    assert SDK.read_bytes() == (SOURCE / "antiphon.js").read_bytes()
    assert SDK_TYPES.read_bytes() == (SOURCE / "antiphon.d.ts").read_bytes()
    modules = {path.name: path.read_bytes() for path in (SOURCE / "src").iterdir()}
    assert modules
    assert {path.name: path.read_bytes() for path in SDK_MODULES.iterdir()} == modules


def test_a_module_of_the_sdk_loads_only_modules_that_are_served() -> None:
    for path in (SDK, *SDK_MODULES.iterdir()):
        for name in re.findall(r'(?:from|import) "([^"]+)"', path.read_text(encoding="utf-8")):
            folder = SDK_MODULES if path.parent == SDK_MODULES else SDK_MODULES.parent
            assert (folder / name).is_file(), f"{path.name} loads {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(STATIC)))
def test_a_file_of_the_page_loads_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    remote = re.findall(r"""(?:src|href|url|from|import)\s*[=(]?\s*["']?(https?:)?//[\w.]+""", text)
    assert not remote


def test_the_page_has_neither_inline_scripts_nor_inline_styles() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert "Content-Security-Policy" in page
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", page)


def test_the_page_loads_only_files_that_are_there() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"""(?:src="|href="|from ")(\.?/[\w./-]+)""", text):
            if name == "/sdk/antiphon.js":
                continue
            target = STATIC / name.lstrip("/") if name.startswith("/") else path.parent / name
            assert target.is_file(), f"{path.name} loads {name}"
