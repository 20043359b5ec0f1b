"""Runs the machine again over what it was told in a call, and prints what it decides: the same, if nothing was changed.

python -m antiphon.turns.replay FILE    exits with 1 where a decision differs from the recorded one

A line is one JSON object, {"name": {field: value}}: a policy, a piece of evidence, or an action that it led to.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from antiphon.turns import actions as act
from antiphon.turns import evidence as ev
from antiphon.turns.machine import advance
from antiphon.turns.policy import TurnPolicy
from antiphon.turns.states import State
from antiphon.turns.voice import Echo, Kind
from antiphon.turns.words import Ending

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Line = TurnPolicy | ev.Evidence | act.Action

_TYPES: dict[str, Any] = {one.__name__: one for one in (TurnPolicy, *get_args(ev.Evidence), *get_args(act.Action))}
_ENUMS: dict[str, type[Enum]] = {"kind": Kind, "echo": Echo, "ending": Ending, "reason": act.Reason, "cause": act.Cause}


class BadTraceError(ValueError):
    """A line of a trace that is none. The text says which and why."""


def line_of(what: Line) -> str:
    """Returns the line for a policy, a piece of evidence or an action."""
    fields = {field.name: _plain(getattr(what, field.name)) for field in dataclasses.fields(what)}
    return json.dumps({type(what).__name__: fields}, separators=(",", ":"))


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def read_line(text: str) -> Line:
    """Reads one line. Raises BadTraceError."""
    try:
        ((name, fields),) = json.loads(text).items()
        wanted = _TYPES[name]
        read = {
            key: _ENUMS[key](value) if key in _ENUMS and value is not None else value for key, value in fields.items()
        }
        line: Line = wanted(**read)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadTraceError(f"no line of a trace: {text[:80]!r} ({error})") from error
    return line


def replay(lines: Iterable[Line]) -> Iterator[tuple[ev.Evidence, tuple[act.Action, ...], tuple[act.Action, ...]]]:
    """Yields each piece of evidence with what the machine wants done now, and what it did when it was recorded."""
    state, policy = State(), TurnPolicy()
    told: ev.Evidence | None = None
    recorded: list[act.Action] = []
    for line in [*lines, None]:
        if isinstance(line, act.Action):
            recorded.append(line)
            continue
        if told is not None:
            state, actions = advance(state, policy, told)
            yield told, actions, tuple(recorded)
            told, recorded = None, []
        if isinstance(line, TurnPolicy):
            policy = line
        elif line is not None:
            told = line


def main() -> int:
    parser = argparse.ArgumentParser(description="Replays a recorded trace of turn-taking.")
    parser.add_argument("file", type=Path)
    path = parser.parse_args().file
    try:
        lines = [read_line(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, UnicodeDecodeError, BadTraceError) as error:
        print(f"antiphon: {error}", file=sys.stderr)  # noqa: T201 - what a command prints
        return 2
    differ = 0
    for evidence, now, then in replay(lines):
        same = [line_of(one) for one in now] == [line_of(one) for one in then]
        differ += not same
        for action in now:
            print(f"{evidence.at_s:9.3f} {'' if same else '! '}{line_of(action)}")  # noqa: T201
        for action in () if same else then:
            print(f"{evidence.at_s:9.3f} recorded: {line_of(action)}")  # noqa: T201
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
