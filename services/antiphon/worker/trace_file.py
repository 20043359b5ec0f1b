"""Writes down what a session's turn-taking was told and what it wanted done, a line each, to be replayed elsewhere.

`python -m antiphon.turns.replay FILE` reads it. Nothing of what was said is in it: times and probabilities.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from antiphon.telemetry import get_logger
from antiphon.turns.replay import line_of
from antiphon.worker import metrics

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon.turns import TurnPolicy
    from antiphon.turns.actions import Action
    from antiphon.turns.evidence import Evidence

_log = get_logger("worker")
_MOST_LINES = 200_000
"""About an hour of talk."""


class TraceRecorder:
    """Lines are kept until `close`, so that no call waits for a disk; what is too much is dropped and counted."""

    def __init__(self, path: Path, policy: TurnPolicy) -> None:
        self._path = path
        self._lines: list[str] = []
        self.policy(policy)

    def policy(self, policy: TurnPolicy) -> None:
        self._add(line_of(policy))

    def step(self, evidence: Evidence, actions: tuple[Action, ...]) -> None:
        self._add(line_of(evidence))
        for action in actions:
            self._add(line_of(action))

    def close(self) -> None:
        """Has the file written, by another thread."""
        asyncio.get_running_loop().run_in_executor(None, self._write, "\n".join([*self._lines, ""]))

    def _write(self, text: str) -> None:
        try:
            self._path.write_text(text, encoding="utf-8")
        except OSError as error:
            _log.warning("a trace of turn-taking could not be written", path=str(self._path), error=str(error))

    def _add(self, line: str) -> None:
        if len(self._lines) < _MOST_LINES:
            self._lines.append(line)
        else:
            metrics.dropped("trace_line", "too_long")
