"""Agents that talk: an Assistant of a recogniser, a language model and a voice, and parts to begin with."""

from antiphon.assistant.assistant import Assistant
from antiphon.assistant.built_in import built_in, installed
from antiphon.assistant.moonshine import Moonshine
from antiphon.assistant.openai import OpenAIModel
from antiphon.assistant.parts import LanguageModel, Message, PartError, Recognizer, ToolCall, ToolSchema
from antiphon.assistant.scripted import ScriptedModel
from antiphon.assistant.speech_to_speech import SpeechAssistant, SpeechToSpeech
from antiphon.assistant.voice import VoiceProcess

__all__ = [
    "Assistant",
    "LanguageModel",
    "Message",
    "Moonshine",
    "OpenAIModel",
    "PartError",
    "Recognizer",
    "ScriptedModel",
    "SpeechAssistant",
    "SpeechToSpeech",
    "ToolCall",
    "ToolSchema",
    "VoiceProcess",
    "built_in",
    "installed",
]
