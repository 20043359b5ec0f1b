"""The assistant that comes with Antiphon: its parts chosen by the settings, made once for a process."""

from __future__ import annotations

import functools
import importlib.util
from datetime import datetime

from antiphon.assistant.assistant import Assistant
from antiphon.assistant.moonshine import Moonshine
from antiphon.assistant.openai import OpenAIModel
from antiphon.assistant.scripted import ScriptedModel
from antiphon.assistant.voice import VoiceProcess
from antiphon.config import AssistantConfig, load_config
from antiphon.worker import Session  # noqa: TC001 - the tools' types are read when they are registered


def installed() -> bool:
    """Whether the extra `antiphon[assistant]` is."""
    return all(importlib.util.find_spec(name) for name in ("moonshine_voice", "espeakng_loader"))


@functools.cache
def built_in() -> Assistant:
    return make(load_config().assistant)


def make(settings: AssistantConfig) -> Assistant:
    """An assistant of the parts that the settings name."""
    key = settings.model_key.get_secret_value()
    timeout_s = settings.model_timeout_s
    model = OpenAIModel(settings.model_url, settings.model, key, timeout_s=timeout_s) if settings.model_url else None
    engine = settings.voice_engine
    if engine == "auto":
        engine = "piper" if importlib.util.find_spec("piper") else "espeak"
    return Assistant(
        recognizer=Moonshine(),
        model=model or ScriptedModel(),
        voice=VoiceProcess(engine, settings.voice),
        instructions=settings.instructions,
        greeting=settings.greeting,
        filler=settings.filler,
        filler_after_s=settings.filler_after_s,
        tools=(clock, hang_up),
    )


def clock() -> str:
    """Tells the present time and date."""
    now = datetime.now().astimezone()
    return f"It is {now:%H:%M} on {now:%A}, {now:%B} {now.day}."


async def hang_up(session: Session) -> str:
    """Ends the call, once the caller has said goodbye."""
    await session.say("Goodbye!")
    session.hang_up()
    return ""
