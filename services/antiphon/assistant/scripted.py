"""A model that needs no model: rules for a short conversation, so that an assistant can be tried offline."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from antiphon.assistant.parts import ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from antiphon.assistant.parts import Message, ToolSchema

_STORY = (
    "Here is a story. On a rock in the sea there stood a lighthouse, and in it lived a keeper with his daughter Mary. "
    "Every evening, before the sun went down, they climbed the long stairs and lit the great lamp. "
    "One night a storm came, and the lamp went out. The keeper was ill and could not climb. "
    "So Mary took a lantern, climbed all the stairs by herself, and held it up behind the glass until the morning. "
    "When the sun came up, a ship lay safe in the bay, and its crew sang so loud that her father heard it in his bed. "
    "Since then there have always been two lamps in that lighthouse, a great one and a small one. The end."
)
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_MOST_COUNTED = 100


class ScriptedModel:
    """A LanguageModel of fixed rules. It calls the tools `clock` and `hang_up`, where they are there."""

    async def reply(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> AsyncIterator[str | ToolCall]:
        last = messages[-1]
        names = {tool.name for tool in tools}
        answer = last.text if last.role == "tool" else _answer(last.text, names, len(messages))
        if isinstance(answer, ToolCall):
            yield answer
            return
        for word in re.findall(r"\S+\s*", answer):
            yield word


def _answer(said: str, tools: set[str], number: int) -> str | ToolCall:
    text = " ".join(re.findall(r"[a-z0-9']+", said.lower()))
    for tool, pattern in _TOOLS:
        if tool in tools and re.search(pattern, text):
            return ToolCall(f"call_{number}", tool, "{}")
    for pattern, answer in _ANSWERS:
        if found := re.search(pattern, text):
            return answer(found)
    return f"I understood: {said.rstrip('.!? ')}. You may ask me for the time, to count, or for a story."


def _count(found: re.Match[str]) -> str:
    words = found.string.split()
    numbers = [int(word) for word in words if word.isdigit()]
    numbers += [_NUMBERS.index(word) for word in words if word in _NUMBERS]
    return ", ".join(map(str, range(1, min(max(numbers, default=10), _MOST_COUNTED) + 1))) + "."


_TOOLS = (
    ("clock", r"\b(what|what's|tell|which)\b.*\b(time|date|day)\b"),
    ("hang_up", r"\b(goodbye|bye|hang up)\b"),
)
_ANSWERS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"\bmy name is (\w+)", lambda found: f"Nice to meet you, {found[1].capitalize()}. What can I do for you?"),
    (r"\bcount\b", _count),
    (r"\b(story|stories)\b", lambda _: _STORY),
    (r"\bthank", lambda _: "You are welcome. Is there anything else?"),
    (
        r"\b(hello|hi|hey|good morning|good evening)\b",
        lambda _: "Hello! I can tell the time, count, or tell you a story. What would you like?",
    ),
)
