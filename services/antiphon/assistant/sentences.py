"""Cuts a stream of text into pieces that are spoken by themselves, so that the first is heard while others are made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHORTEST_START = 20
_LONGEST = 240
_END = re.compile(r"[.!?…]+[\"')\]]*\s+|\n+")
_CLAUSE = re.compile(r"[,;:—–]\s+")  # noqa: RUF001 - dashes of both lengths
_ABBREVIATED = re.compile(r"(?:^|[\s(])(?:[A-Za-z]|Dr|Mr|Mrs|Ms|Prof|St|vs|etc|e\.g|i\.e|[ap]\.m|No)\.\s*$")


class Sentences:
    """Text in, pieces out. The first piece may end at a comma: it is what the caller waits for."""

    def __init__(self) -> None:
        self._text = ""
        self._started = False

    def push(self, text: str) -> Iterator[str]:
        self._text += text
        while (at := self._cut()) is not None:
            piece, self._text = self._text[:at].strip(), self._text[at:]
            if piece:
                self._started = True
                yield piece

    def finish(self) -> Iterator[str]:
        piece, self._text = self._text.strip(), ""
        if piece:
            yield piece

    def _cut(self) -> int | None:
        ends = (end.end() for end in _END.finditer(self._text))
        at = next((end for end in ends if not _ABBREVIATED.search(self._text[:end])), None)
        if not self._started or (at is None and len(self._text) > _LONGEST):
            clauses = (clause.end() for clause in _CLAUSE.finditer(self._text) if clause.start() >= _SHORTEST_START)
            clause = next(clauses, None)
            at = clause if at is None or (clause is not None and clause < at) else at
        if at is None and len(self._text) > _LONGEST:
            return (self._text.rfind(" ", 0, _LONGEST) + 1) or _LONGEST
        return at
