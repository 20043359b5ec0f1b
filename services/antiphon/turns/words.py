"""What a caller's words say about the end of their turn. Rules of English, replaceable by a WordRules of one's own."""

# ruff: noqa: SIM905 - a list of words reads best as text

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Ending(Enum):
    OPEN = "open"
    """The words do not tell."""
    GOES_ON = "goes_on"
    """No sentence ends like this."""
    COMPLETE = "complete"
    """A whole sentence, most likely."""
    THINKING = "thinking"
    """The caller asks for time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    ending: Ending
    interrupts: bool
    """Whether, over the agent's voice, these words want the floor."""


class WordRules(Protocol):
    def judge(self, text: str) -> Verdict:
        """text: the turn's words so far, with or without punctuation."""
        ...


_GOES_ON = frozenset(
    "and but or so because if when while that which who whose where the a an my your his her its our their this "
    "of to for from with in on at by about into than as is are was were am be been i'm you're we're they're it's "
    "um uh er erm hmm like very really maybe also then plus".split()
)
_COUNTING = frozenset("zero oh one two three four five six seven eight nine double triple".split())
_BACKCHANNELS = frozenset(
    "uh-huh uhuh huh yeah yes yep yup ok okay right sure i see got it ah oh aha wow really good great nice cool".split()
)
_HUM = re.compile(r"[hm]+(?:-[hm]+)*")
"""However a recogniser spells it: mm, hmm, mm-hm, mmh."""
_QUESTIONS = frozenset(
    "what when where who whom whose which why how is are was were do does did can could will would should may have "
    "has".split()
)
_THINKING = re.compile(
    r"\b(let me (think|see|check|look)|(hold|hang) on|(just )?(a|one) (moment|second|sec|minute)|give me a "
    r"(moment|second|sec|minute)|wait a (moment|second|sec|minute))\W*$"
)
_WORD = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")
_DIGITS_IN_PROGRESS = 3
_SHORTEST_QUESTION = 4


class EnglishRules:
    """A trailing conjunction, article, preposition, filler or a number in progress waits; a sentence ends."""

    def judge(self, text: str) -> Verdict:
        lower = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").strip()
        words = _WORD.findall(lower)
        return Verdict(_ending(lower, words), not all(_assents(word) for word in words))


def _assents(word: str) -> bool:
    return word in _BACKCHANNELS or _HUM.fullmatch(word) is not None


def _ending(text: str, words: list[str]) -> Ending:  # noqa: PLR0911 - a rule a line
    if not words:
        return Ending.OPEN
    if _THINKING.search(text):
        return Ending.THINKING
    if text.endswith(("...", "\N{HORIZONTAL ELLIPSIS}", ",", "-")) or _counts(words):
        return Ending.GOES_ON
    if text.endswith("?"):
        return Ending.COMPLETE
    if words[-1] in _GOES_ON:
        return Ending.GOES_ON
    if text.endswith((".", "!")) or (words[0] in _QUESTIONS and len(words) >= _SHORTEST_QUESTION):
        return Ending.COMPLETE
    return Ending.OPEN


def _counts(words: list[str]) -> bool:
    """Whether the caller spells out a number: digits, with fewer than a telephone number's."""
    run = 0
    for word in reversed(words):
        if word not in _COUNTING and not word.isdigit():
            break
        run += len(word) if word.isdigit() else 1
    return _DIGITS_IN_PROGRESS <= run < 7  # the shortest subscriber numbers
