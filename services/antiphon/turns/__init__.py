"""Turn-taking: voice activity, and the state machine that finds a caller's turns."""

from antiphon.turns.detector import TurnDetector, TurnEnded, TurnPolicy, TurnStarted
from antiphon.turns.voice import HintedVoice, Kind, VoiceDetector, VoiceStream

__all__ = [
    "HintedVoice",
    "Kind",
    "TurnDetector",
    "TurnEnded",
    "TurnPolicy",
    "TurnStarted",
    "VoiceDetector",
    "VoiceStream",
]
