"""MkDocs' hooks: makes a site of pages that are written to be read in the repository (`make docs`).

What stands beside docs/ becomes a page or, as no page can be made of it, plain words instead of a link.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = {"ARCHITECTURE.md": "architecture.md", "CHANGELOG.md": "changelog.md"}
"""Pages of the site by the file beside docs/ that they are made of."""
_OUTSIDE = re.compile(r"(?<!!)\[(?P<words>[^\]]+)\]\(\.\./(?P<path>[^)#]+)(?P<anchor>#[^)]*)?\)")
_CODE_WITH_BAR = re.compile(r"`[^`\n]*\\\|[^`\n]*`")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - as called
    if page.file.src_uri in PAGES.values():
        markdown = re.sub(r"\]\(docs/", "](", markdown)
    markdown = _OUTSIDE.sub(_within_the_site, markdown)
    # A bar within code ends no cell of Python-Markdown's tables, so that its escape would be shown.
    return _CODE_WITH_BAR.sub(lambda code: code[0].replace(r"\|", "|"), markdown)


def _within_the_site(link: re.Match[str]) -> str:
    page = PAGES.get(link["path"])
    return f"[{link['words']}]({page}{link['anchor'] or ''})" if page else link["words"]
