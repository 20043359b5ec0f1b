"""Turns of callers: recordings cut at their labels, each followed by silence.

The folder `ANTIPHON_AUDIO` has them: `NAME.wav` with `NAME.turns.tsv` (speaker, start, end), or a recording of one
turn. Without the folder, synthesised sentences with commas stand in, which say nothing about people.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tests.support.speech import say

from antiphon.client import read_audio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RATE = 16_000
SILENCE_S = 4.0
_BEFORE_S, _BEHIND_S = 0.2, 0.1
_WHOLE = (
    "talk_60s.wav", "jfk.flac", "dialogflow_230pm.wav", "dialogflow_book_a_room.wav", "dialogflow_half_an_hour.wav",
    "dialogflow_hello.wav", "dialogflow_mountain_view.wav", "dialogflow_today.wav", "dialogflow_two_people.wav",
)  # fmt: skip
_SENTENCES = (
    "I would like to book a table, for two people, tomorrow evening.",
    "What time is it in Lisbon?",
    "My number is five five five, one two three, four five six seven.",
    "Well, let me see, the blue one, if you still have it.",
)


@dataclass(frozen=True)
class Clip:
    """One turn: mono int16 at 16 kHz, with silence behind it."""

    name: str
    audio: NDArray[np.int16]


def clips() -> tuple[list[Clip], bool]:
    """Returns them, and whether they are recorded."""
    folder = os.environ.get("ANTIPHON_AUDIO")
    if not folder:
        return [Clip(text[:20], _with_silence(say(text))) for text in _SENTENCES], False
    return list(_recorded(Path(folder))), True


def _recorded(folder: Path) -> Iterator[Clip]:
    for name in _WHOLE:
        if (folder / name).exists():
            yield Clip(name, _with_silence(read_audio(folder / name, RATE)))
    for labels in sorted(folder.glob("*.turns.tsv")):
        stem = labels.name.removesuffix(".turns.tsv")
        audio = read_audio(folder / f"{stem}.wav", RATE)
        with labels.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file, delimiter="\t") if row and not row[0].startswith("#")]
        for speaker, start, end in rows:
            first, last = max(0.0, float(start) - _BEFORE_S), float(end) + _BEHIND_S
            turn = audio[round(first * RATE) : round(last * RATE)]
            yield Clip(f"{stem} {speaker} {start}", _with_silence(turn))


def _with_silence(audio: NDArray[np.int16]) -> NDArray[np.int16]:
    return np.concatenate([audio, np.zeros(round(SILENCE_S * RATE), np.int16)])
