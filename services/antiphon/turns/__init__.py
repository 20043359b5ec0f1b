"""Turn-taking: voice activity, and the state machine that finds a caller's turns."""

from antiphon.turns.detector import TurnDetector, TurnEnded, TurnPolicy, TurnStarted
from antiphon.turns.voice import HintedVoice, VoiceDetector, VoiceStream

__all__ = ["HintedVoice", "TurnDetector", "TurnEnded", "TurnPolicy", "TurnStarted", "VoiceDetector", "VoiceStream"]
