"""Finds agents in files. Each load makes fresh modules, so that calls in progress stay on the code they began with."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from antiphon.errors import ConfigError
from antiphon.worker.agent import Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from antiphon.worker.agent import Agent

BUILT_IN = Path(__file__).parent.parent / "agents"
_numbers = itertools.count(1)


def load_agents(files: Iterable[Path]) -> Mapping[str, Agent]:
    """Returns the built-in agents and those of `files` by name; a file's agent replaces a built-in one.

    Raises ConfigError, which names the file and what is wrong with it.
    """
    agents: dict[str, Agent] = {}
    for path in built_in_files():
        agents |= _load(path)
    files = [path.resolve() for path in files]
    _forget_neighbours(files)
    own: dict[str, Agent] = {}
    with _fresh_bytecode():
        for path in files:
            found = _load(path)
            if twice := own.keys() & found.keys():
                raise ConfigError(f"agent {min(twice)!r} of {path} is defined in another file, too")
            own |= found
    return agents | own


@contextmanager
def _fresh_bytecode() -> Iterator[None]:
    """A file saved twice in a second, at the same length, would be taken from the cache of its bytecode."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def built_in_files() -> list[Path]:
    return sorted(path for path in BUILT_IN.glob("*.py") if path.name != "__init__.py")


def _load(path: Path) -> dict[str, Agent]:
    if not path.is_file():
        raise ConfigError(f"agent file {path} does not exist")
    name = f"antiphon_agent_{path.stem}_{next(_numbers)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"agent file {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parent)
    if path.parent != BUILT_IN and folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[name] = module  # dataclasses and pickling look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(f"agent file {path} cannot be loaded: {type(error).__name__}: {error}") from error
    workers = {id(value): value for value in vars(module).values() if isinstance(value, Worker)}
    agents = {name: function for worker in workers.values() for name, function in worker.agents.items()}
    if not agents and path.parent != BUILT_IN:  # a built-in one may lack its extra
        raise ConfigError(f"agent file {path} has no agent: expected worker = Worker() and @worker.agent(name)")
    return agents


def _forget_neighbours(files: list[Path]) -> None:
    """Modules that stand beside an agent's file are loaded anew with it; old calls keep the old ones."""
    folders = {path.parent for path in files}
    for name in [name for name, folder in _module_folders() if folder in folders]:
        del sys.modules[name]


def _module_folders() -> Iterator[tuple[str, Path]]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name != "__main__" and not name.startswith(("antiphon.", "antiphon_agent_")):
            yield name, Path(file).parent
