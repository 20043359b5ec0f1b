"""The documentation holds together: links lead somewhere, the site has every page, and what is shown works."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from antiphon.config import load_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("services/antiphon-js/*.md")])
_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@cache
def anchors(page: Path) -> set[str]:
    """Of a page's headings, as code hosts make them."""
    text = _FENCE.sub("", page.read_text())
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (unique := slug if number == 0 else f"{slug}-{number}") in found:
            number += 1
        found.add(unique)
    return found


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text()))
    for found in _LINK.finditer(text):
        if not re.match(r"[a-z]+:", found["target"]):
            yield found["target"]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        led = (page.parent / path).resolve() if path else page
        assert led.exists(), target
        if anchor:
            assert anchor in anchors(led), f"{target}: there is {sorted(anchors(led))}"


def test_the_site_has_every_page_and_no_other() -> None:
    class Loader(yaml.SafeLoader):
        """Knows no Python objects, of which the file names one."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    site = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)
    assert site["docs_dir"] == "docs"
    listed = [
        page for entry in site["nav"] for page in ([entry] if isinstance(entry, str) else next(iter(entry.values())))
    ]
    made = {"architecture.md", "changelog.md"}  # of what stands beside docs/: tools/site.py
    assert sorted(listed) == sorted({page.name for page in DOCS.glob("*.md")} | made)


def test_make_targets_that_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"`make ([a-z-]+)[ `]", page.read_text()):
            assert target in targets, f"{page.name}: make {target}"


def test_agents_shown_are_the_examples() -> None:
    shown = re.findall(r"```python\n(.*?)```", (DOCS / "agents.md").read_text(), re.DOTALL)
    assert shown[0] == (ROOT / "examples" / "my_agent.py").read_text()
    assert shown[1] == (ROOT / "examples" / "voicemail.py").read_text()


def test_the_agents_test_shown_passes(agent_call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shown = re.findall(r"```python\n(.*?)```", (DOCS / "agents.md").read_text(), re.DOTALL)
    known: dict[str, Any] = {}
    exec(shown[2], known)
    known["test_the_mailbox_plays_back_what_was_said"](agent_call)


def configurations() -> list[str]:
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / "deploy.md").read_text(), re.DOTALL)
    return [block for block in blocks if "redis:" in block]


@pytest.mark.parametrize("configuration", configurations(), ids=["edge", "worker and signaling"])
def test_a_configuration_shown_is_accepted(configuration: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text("{me: sixteen-characters-or-more}")
    file = tmp_path / "antiphon.yaml"
    file.write_text(configuration.replace("/etc/antiphon/keys.yaml", str(keys)))
    assert load_config(file).auth.mode == "keys"
