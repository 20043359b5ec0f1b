"""Prints the lines of several services in one terminal: each with its service's name, in colour on a terminal."""

from __future__ import annotations

import re
import sys
from typing import TextIO

_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95)
_RED, _BOLD, _RESET = "\x1b[31m", "\x1b[1m", "\x1b[0m"
# How antiphon.telemetry writes text: time, service, level, what happened.
_OWN_LINE = re.compile(r"^(?P<time>\d\d:\d\d:\d\d\.\d{3}) (?P<service>\S+) +(?P<level>\w+) +(?P<rest>.*)$")


class Printer:
    """Writes lines to a stream, each with the name of the service it came from."""

    def __init__(self, stream: TextIO | None = None, *, colour: bool | None = None) -> None:
        self._stream = stream or sys.stdout
        self._colour = self._stream.isatty() if colour is None else colour
        self._names: dict[str, int] = {}

    def line(self, service: str, text: str) -> None:
        """Prints one line of a service; its own time stamp and level are kept, its name is not said twice."""
        own = _OWN_LINE.match(text)
        width = max(14, *(len(name) for name in self._names)) if self._names else 14
        if own:
            level = own["level"]
            mark = self._paint(f"{level:<7}", _RED) if level in {"error", "critical"} else f"{level:<7}"
            text = f"{own['time']} {mark} {own['rest']}"
        self._write(f"{self._name(service, width)} | {text}")

    def say(self, text: str) -> None:
        """Prints a line of the command itself."""
        self._write(self._paint(text, _BOLD))

    def _name(self, service: str, width: int) -> str:
        place = self._names.setdefault(service, len(self._names))
        return self._paint(f"{service:<{width}}", f"\x1b[{_COLOURS[place % len(_COLOURS)]}m")

    def _paint(self, text: str, code: str) -> str:
        return f"{code}{text}{_RESET}" if self._colour else text

    def _write(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except BrokenPipeError:  # the terminal or `| head` is gone; the services need not go with it
            self._stream = _Nowhere()


class _Nowhere:
    """A stream that swallows what is written to it."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return

    def isatty(self) -> bool:
        return False
