"""Turn-taking: voice activity, and the pure state machine that decides who has the floor."""

from antiphon.turns.actions import Cause, Committed, Reason
from antiphon.turns.machine import advance, wake_s
from antiphon.turns.policy import EAGERNESS, Eagerness, Interruptions, Mode, TurnPolicy, with_eagerness
from antiphon.turns.states import State
from antiphon.turns.voice import HintedVoice, Kind, VoiceDetector, VoiceStream
from antiphon.turns.words import Ending, EnglishRules, Verdict, WordRules

__all__ = [
    "EAGERNESS",
    "Cause",
    "Committed",
    "Eagerness",
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
]
