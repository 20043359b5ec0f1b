"""`antiphon config`: every setting with its documentation and default, as the YAML file that `--config` reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from antiphon.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo


def sample() -> str:
    """Returns the whole tree as YAML; what has no fixed default is commented out."""
    return "\n".join(_lines(Config, 0)) + "\n"


def _lines(section: type[BaseModel], depth: int) -> Iterator[str]:
    margin = "  " * depth
    for name, field in section.model_fields.items():
        if field.description:
            yield from (f"{margin}# {line.strip()}" for line in field.description.splitlines() if line.strip())
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield f"{margin}{name}:"
            yield from _lines(kind, depth + 1)
        else:
            yield margin + _setting(name, field)


def _setting(name: str, field: FieldInfo) -> str:
    if field.default is PydanticUndefined:  # made anew at each start
        return f"# {name}:"
    return f"{name}: {_inline(field.default)}"


def _inline(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, tuple):
        value = list(value)
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
