"""A caller in Python, on aiortc: talks with an agent as a browser would."""

from antiphon.client.audio import RATE, read_audio, write_wav
from antiphon.client.caller import Caller
from antiphon.client.errors import CallEndedError, CallError, CallRefusedError
from antiphon.client.hearing import Hearing, Stretch, audible_seconds
from antiphon.client.journal import Journal, Turn, Utterance
from antiphon.client.speaking import Speaking
from antiphon.client.statistics import Statistics

__all__ = [
    "RATE",
    "CallEndedError",
    "CallError",
    "CallRefusedError",
    "Caller",
    "Hearing",
    "Journal",
    "Speaking",
    "Statistics",
    "Stretch",
    "Turn",
    "Utterance",
    "audible_seconds",
    "read_audio",
    "write_wav",
]
