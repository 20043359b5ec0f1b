"""Turn-taking: voice activity, and the pure state machine that decides who has the floor."""

from antiphon.turns.actions import Cause, Committed, Reason
from antiphon.turns.machine import advance, wake_s
from antiphon.turns.policy import (
    EAGERNESS,
    TURNS_KEY,
    Eagerness,
    Interruptions,
    Mode,
    TurnPolicy,
    with_eagerness,
    with_wishes,
)
from antiphon.turns.states import State
from antiphon.turns.voice import Echo, HintedVoice, Kind, VoiceDetector, VoiceStream
from antiphon.turns.words import Ending, EnglishRules, Verdict, WordRules

__all__ = [
    "EAGERNESS",
    "TURNS_KEY",
    "Cause",
    "Committed",
    "Eagerness",
    "Echo",
    "Ending",
    "EnglishRules",
    "HintedVoice",
    "Interruptions",
    "Kind",
    "Mode",
    "Reason",
    "State",
    "TurnPolicy",
    "Verdict",
    "VoiceDetector",
    "VoiceStream",
    "WordRules",
    "advance",
    "wake_s",
    "with_eagerness",
    "with_wishes",
]
