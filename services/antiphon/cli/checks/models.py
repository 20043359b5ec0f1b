"""Models and optional packages that a worker uses."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from antiphon.cli.checks.check import Check, failure, ok, warning
from antiphon.turns.models import MODELS, is_there, model_path

if TYPE_CHECKING:
    from antiphon.config import Config

_EXTRAS = (
    ("assistant", "moonshine_voice", "recognition of speech"),
    ("assistant", "espeakng_loader", "the espeak voice"),
    ("piper", "piper", "the piper voice"),
)


def check_models(config: Config) -> list[Check]:
    """Blocks while it reads the models' files."""
    found = []
    for model in MODELS:
        if is_there(model):
            found.append(ok(f"model {model.name}", f"{model.what}: whole, at {model_path(model)}"))
        else:
            fact = f"{model.what}: missing or not whole at {model_path(model)}"
            means = "Turns end by silence alone: later, and sometimes in the middle of a sentence."
            found.append(warning(f"model {model.name}", fact, means, "`antiphon models` gets it."))
    return found + [_extra(config, *extra) for extra in _EXTRAS]


def _extra(config: Config, extra: str, module: str, what: str) -> Check:
    subject, todo = f"extra {extra}", f"pip install 'antiphon[{extra}]'"
    if _installed(module):
        return ok(subject, f"{what}: {module} is installed")
    fact = f"{what}: {module} is not installed"
    if module == "piper" and config.assistant.voice_engine == "piper":
        return failure(subject, fact, "assistant.voice_engine is piper: the assistant cannot speak.", todo)
    if module == "espeakng_loader" and config.assistant.voice_engine == "espeak":
        return failure(subject, fact, "assistant.voice_engine is espeak: the assistant cannot speak.", todo)
    return ok(subject, f"{fact}; only needed for that")


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of its parent
        return False
