"""The seams between an assistant and its parts: recogniser, language model, voice. Each is a class with one method.

The recogniser's stands in `antiphon.worker.partials`, the voice's in `antiphon.worker.speech`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from antiphon.worker.partials import PartError, Recognizer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

__all__ = ["LanguageModel", "Message", "PartError", "Recognizer", "ToolCall", "ToolSchema"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a function to be called."""

    id: str
    name: str
    arguments: str
    """A JSON object, as the model wrote it."""


@dataclass(frozen=True, slots=True)
class Message:
    """A piece of the conversation, as language models know it."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    calls: tuple[ToolCall, ...] = ()
    """Of an assistant's message: what it called."""
    call: str = ""
    """Of a tool's message: the id of the call that it answers."""


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A function that the model may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of its arguments, an object."""


class LanguageModel(Protocol):
    """Thinks of what to say."""

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSchema], /) -> AsyncIterator[str | ToolCall]:
        """Pieces of text as they come, and calls of tools. Closing the iterator cancels it. Raises PartError."""
        ...
