"""Runs the machine of turns over a clip in virtual time, with the real models: what it cuts off, how soon it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from tests.support.floor import Story

from antiphon.assistant.moonshine import MoonshineModel
from antiphon.turns.actions import Committed
from antiphon.turns.models import SMART_TURN, fetch
from antiphon.turns.silero import SileroModel
from antiphon.turns.smart_turn import SmartTurnModel, features
from loadtest.turns.clips import RATE, SILENCE_S

if TYPE_CHECKING:
    from antiphon.turns import TurnPolicy
    from loadtest.turns.clips import Clip

_WINDOW, _CONTEXT = 512, 64
_VOICE = 0.5
_SHORTEST_PAUSE_S = 0.2
_MARGIN_S = 0.1
_BEFORE_S = 0.2


@dataclass
class Heard:
    """A clip as the models hear it; answers are kept, since every judge asks at like moments."""

    clip: Clip
    voice: list[float]
    ended_s: float
    """End of the last voice."""
    pauses: int
    """Of at least 0.2 s, before that."""
    answers: dict[int, float] = field(default_factory=dict)
    texts: dict[tuple[int, int], str] = field(default_factory=dict)


@dataclass
class Outcome:
    """Over all clips."""

    pauses: int = 0
    cut_off: int = 0
    delays_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        return float(np.median(self.delays_s))


class Ears:
    def __init__(self) -> None:
        self._voice = SileroModel()
        self._ends = SmartTurnModel(fetch(SMART_TURN))
        self._words = MoonshineModel()

    def hear(self, clip: Clip) -> Heard:
        samples = np.concatenate([np.zeros(_CONTEXT, np.float32), clip.audio.astype(np.float32) / 32768])
        state, voice = np.zeros((2, 1, 128), np.float32), []
        for start in range(0, len(clip.audio) - _WINDOW, _WINDOW):
            said, state = self._voice.judge(samples[None, start : start + _CONTEXT + _WINDOW], state)
            voice.append(float(said[0]))
        loud = [index for index, probability in enumerate(voice) if probability >= _VOICE]
        gaps = np.diff(loud) - 1 if loud else np.zeros(0)
        window_s = _WINDOW / RATE
        ended_s = (loud[-1] + 1) * window_s if loud else len(clip.audio) / RATE - SILENCE_S
        return Heard(clip, voice, ended_s, int(np.sum(gaps * window_s >= _SHORTEST_PAUSE_S)))

    def ends(self, heard: Heard, at_s: float) -> float:
        """What the end-of-turn model says of the audio until then."""
        upto = round(at_s * RATE)
        if upto not in heard.answers:
            heard.answers[upto] = float(self._ends.judge(features(heard.clip.audio[:upto])[None])[0])
        return heard.answers[upto]

    def words(self, heard: Heard, started_s: float, at_s: float) -> str:
        """What is recognised of the audio between two seconds."""
        span = max(0, round((started_s - _BEFORE_S) * RATE)), round(at_s * RATE)
        if span not in heard.texts:
            heard.texts[span] = self._words.transcribe(heard.clip.audio[slice(*span)])
        return heard.texts[span]


def judge(policy: TurnPolicy, ears: Ears, clips: list[Heard], *, asks: bool, words: bool = False) -> Outcome:
    """`asks`: whether the end-of-turn model is there; `words`: whether a recogniser is."""
    outcome = Outcome()
    for heard in clips:
        ends = _commits(policy, ears, heard, asks=asks, words=words)
        early = [one for one in ends if one.at_s < heard.ended_s - _MARGIN_S]
        outcome.pauses += heard.pauses
        outcome.cut_off += min(len(early), heard.pauses)
        last = ends[-1].at_s if len(ends) > len(early) else heard.ended_s + SILENCE_S
        outcome.delays_s.append(last - heard.ended_s)
    return outcome


def _commits(policy: TurnPolicy, ears: Ears, heard: Heard, *, asks: bool, words: bool) -> list[Committed]:
    story = Story(
        policy,
        end=(lambda at_s: ears.ends(heard, at_s)) if asks else None,
        words=(lambda started_s, at_s: ears.words(heard, started_s, at_s)) if words else None,
    )
    for index, probability in enumerate(heard.voice):
        start_s = index * _WINDOW / RATE
        story.hear(start_s, start_s + _WINDOW / RATE, probability)
    return story.of(Committed)
