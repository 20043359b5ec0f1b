"""What the README shows is what works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_agent_shown_is_the_example() -> None:
    assert BLOCKS[0] == (ROOT / "examples" / "my_agent.py").read_text()


def test_the_test_shown_passes(agent_call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(BLOCKS[1], names)
    names["test_my_agent_repeats_the_caller"](agent_call)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_make_targets_shown_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make ([a-z-]+)`?", README.replace("and make", "")):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
