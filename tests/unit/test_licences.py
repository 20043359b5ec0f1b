"""docs/licences.md has every part that images and the native module bring, under licences that are known."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import pytest
from packaging.utils import canonicalize_name
from tools import licences

from antiphon.turns.models import MODELS

PAGE = licences.DOCUMENT.read_text()
ROWS = dict(re.findall(r"^\| ([A-Za-z0-9._-]+) \| [^|]+ \| ([^|]+) \|", PAGE, re.MULTILINE))
TO_BE_NAMED = {"espeakng-loader", "certifi", "tqdm"}
"""Whose licences ask for more than keeping their text: the page's head tells of each."""


@pytest.mark.parametrize("role", licences.ROLES)
def test_the_page_has_every_package_of_an_image(role: str) -> None:
    assert set(licences.of_image(role)) <= ROWS.keys(), "run make licences"


def test_a_package_is_listed_with_what_it_says_itself() -> None:
    here = {canonicalize_name(one.name) for one in metadata.distributions()}
    known = here & (set(licences.of_image("signaling")) | set(licences.of_image("worker")))
    assert known
    for name in known:
        assert ROWS[name] == licences.licence_of(name), f"{name}: run make licences"


def test_crates_listed_are_those_of_the_lock() -> None:
    lock = tomllib.loads((licences.ROOT / "services" / "media-plane" / "Cargo.lock").read_text())
    locked = {(package["name"], package["version"]) for package in lock["package"]}
    table = PAGE.partition("## Crates")[2].partition("## Models")[0]
    listed = set(re.findall(r"^\| (\S+) \| (\d\S*) \| [^|]+ \|$", table, re.MULTILINE))
    assert len(listed) > 100
    assert listed <= locked, "run make licences"


def test_what_asks_for_more_than_its_text_to_be_kept_is_told_of() -> None:
    copyleft = {name for name, licence in ROWS.items() if re.search(r"GPL|MPL|EUPL|CDDL|SSPL", licence)}
    assert copyleft == TO_BE_NAMED
    assert {model.name for model in MODELS} <= ROWS.keys()
