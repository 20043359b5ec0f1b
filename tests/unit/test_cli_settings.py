"""`antiphon config` prints a file that --config reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from antiphon.cli.settings import sample
from antiphon.config import Config, load_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_the_printed_file_holds_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "antiphon.yaml"
    file.write_text(sample())
    fixed = {"cluster_secret"}  # made anew at each start
    assert load_config(file).model_dump(exclude=fixed) == load_config(None).model_dump(exclude=fixed)


def undocumented(section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from undocumented(field.annotation)
        elif not field.description:
            yield f"{section.__name__}.{name}"


def test_every_setting_is_documented() -> None:
    assert list(undocumented(Config)) == []
